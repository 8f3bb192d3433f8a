//! Memory: folders of ImageNet's size, and images that unfold to far more than their files.

use std::io::{Cursor, Write};
use std::path::Path;

use burn::tensor::Device;
use burn_dataset::Dataset;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use twins_data::{
    Augmentation, DataError, FolderConfig, FolderDataset, ImageDataset, Preprocessing, collate,
};
use twins_testing::in_own_process;

use crate::counting::{live, peak};

const MIB: usize = 1 << 20;

/// 2 000 photographs of ImageNet's usual size in 20 classes, hard links to 20 files, named as ImageNet's are.
fn photographs(folder: &Path) -> usize {
    for class in 0..20u32 {
        let name = format!("n{:08}", 1_440_764 + class * 7919);
        let folder = folder.join(&name);
        std::fs::create_dir(&folder).unwrap();
        let image = RgbImage::from_fn(500, 375, |x, y| {
            Rgb([(x * (class + 1)) as u8, (y * 3 + class) as u8, (x * y / 64) as u8])
        });
        let first = folder.join(format!("{name}_0.JPEG"));
        JpegEncoder::new_with_quality(std::fs::File::create(&first).unwrap(), 85)
            .encode_image(&image)
            .unwrap();
        for index in 1..100 {
            std::fs::hard_link(&first, folder.join(format!("{name}_{}.JPEG", index * 101))).unwrap();
        }
    }
    2000
}

#[test]
fn folders_of_imagenets_size_work_in_two_gibibytes() {
    in_own_process("memory::folders_of_imagenets_size_work_in_two_gibibytes", read_folder_of_imagenets_size);
}

fn read_folder_of_imagenets_size() {
    const CACHE: usize = 32 * MIB;
    let folder = tempfile::tempdir().unwrap();
    let files = photographs(folder.path());
    let before = live();
    let config =
        FolderConfig::new(folder.path()).with_preprocessing(Preprocessing::IMAGENET).with_cache_bytes(CACHE);
    let (dataset, opening) = peak(|| config.open().unwrap());
    assert_eq!((dataset.len(), dataset.image_shape()), (files, [3, 224, 224]));
    // The first image is decoded for the shape, and stays in the cache.
    let listing = (live() - before).saturating_sub(3 * 224 * 224);
    let per_file = listing / files;
    println!("{per_file} bytes per listed file, {} MiB while opening", opening / MIB);
    assert!(per_file <= 100, "{per_file} bytes per listed file");

    // Every file in batches, evaluation and training, in another order than the folder's.
    let device = Device::flex();
    let ids: Vec<usize> = (0..files).map(|index| index * 701 % files).collect();
    let augmentation = Augmentation::imagenet();
    let (_, reading) = peak(|| {
        for (number, ids) in ids.chunks(50).enumerate() {
            let augment = (number % 2 == 0).then_some((&augmentation, 1));
            let batch = collate(&dataset, ids, augment, &device).unwrap();
            assert_eq!(batch.images.dims(), [50, 3, 224, 224]);
        }
    });
    println!("{} MiB while reading {files} files through a cache of {} MiB", reading / MIB, CACHE / MIB);
    // The cache; a batch as bytes, floats and tensor (50 × 147 KiB × 9 = 65 MiB); and what each thread decodes.
    assert!(reading <= CACHE + 130 * MIB, "{} MiB", reading / MIB);

    // ImageNet: 1 281 167 training files, the default cache, and as much again for the rest as here.
    let imagenet = 1_281_167 * per_file + FolderConfig::new("").cache_bytes + (reading - CACHE);
    println!("{} MiB for ImageNet's training images", imagenet / MIB);
    assert!(imagenet < 1024 * MIB, "half of 2 GiB is for the program and its model");
}

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A JPEG whose header says another size than its data has.
fn resized_header(mut jpeg: Vec<u8>, side: u16) -> Vec<u8> {
    let frame = jpeg.windows(2).position(|marker| matches!(marker, [0xff, 0xc0 | 0xc2])).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
    jpeg
}

/// A PNG with a colour profile of so many zeros in front of its pixels.
fn with_profile(png: &[u8], bytes: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(b"name\0\0".to_vec(), Compression::default());
    encoder.write_all(&vec![0; bytes]).unwrap();
    let chunk = [&b"iCCP"[..], &encoder.finish().unwrap()].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&chunk);
    // The signature has 8 bytes, and the header's chunk 25.
    let (header, pixels) = png.split_at(33);
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    [header, &length, &chunk, &crc.sum().to_be_bytes(), pixels].concat()
}

fn small_jpeg() -> Vec<u8> {
    let image = RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8 * 3, y as u8 * 3, 9]));
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&image).unwrap();
    bytes
}

#[test]
fn images_that_unfold_to_far_more_than_their_files_stay_within_the_bound() {
    in_own_process(
        "memory::images_that_unfold_to_far_more_than_their_files_stay_within_the_bound",
        open_images_that_unfold,
    );
}

fn open_images_that_unfold() {
    let flat = |side| RgbImage::from_pixel(side, side, Rgb([9, 8, 7]));
    let progressive = include_bytes!("../golden/jpeg/encoded/class/progressive_exif.jpg").to_vec();
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        // Just within 64 MiB of pixels, and beyond.
        ("a flat PNG", "png", encode(flat(4700), ImageFormat::Png)),
        (
            "a flat grey PNG of 4000",
            "png",
            encode(DynamicImage::from(flat(4000)).to_luma8(), ImageFormat::Png),
        ),
        ("a PNG of 16 bits with alpha, 2350", "png", {
            encode(DynamicImage::from(flat(2350)).to_rgba16(), ImageFormat::Png)
        }),
        ("a PNG of one line of 4 000 000", "png", {
            encode(RgbImage::from_pixel(4_000_000, 1, Rgb([1, 2, 3])), ImageFormat::Png)
        }),
        ("a JPEG that says 4650", "jpg", resized_header(small_jpeg(), 4650)),
        ("a progressive JPEG that says 2700", "jpg", resized_header(progressive.clone(), 2700)),
        ("a flat PNG with a profile of 10 MB", "png", {
            with_profile(&encode(flat(3000), ImageFormat::Png), 10_000_000)
        }),
        ("a PNG with a profile of 60 MB", "png", {
            with_profile(&encode(flat(4000), ImageFormat::Png), 60_000_000)
        }),
        ("a WebP of 2800", "webp", encode(flat(2800), ImageFormat::WebP)),
        ("a WebP of 2600 with alpha", "webp", {
            encode(DynamicImage::from(flat(2600)).to_rgba8(), ImageFormat::WebP)
        }),
        ("a larger flat PNG", "png", encode(flat(6000), ImageFormat::Png)),
        ("a flat PNG of 16 bits with alpha", "png", {
            encode(DynamicImage::from(flat(2850)).to_rgba16(), ImageFormat::Png)
        }),
        ("a flat grey PNG", "png", encode(DynamicImage::from(flat(8000)).to_luma8(), ImageFormat::Png)),
        ("a JPEG that says 4700", "jpg", resized_header(small_jpeg(), 4700)),
        ("a JPEG that says 65535", "jpg", resized_header(small_jpeg(), 65_535)),
        ("a progressive JPEG that says 4700", "jpg", resized_header(progressive.clone(), 4700)),
        ("a progressive JPEG that says 3000", "jpg", resized_header(progressive.clone(), 3000)),
        ("a progressive JPEG that says 65535", "jpg", resized_header(progressive, 65_535)),
        (
            "a PNG of one line",
            "png",
            encode(RgbImage::from_pixel(20_000_000, 1, Rgb([1, 2, 3])), ImageFormat::Png),
        ),
        ("a flat WebP", "webp", encode(flat(4000), ImageFormat::WebP)),
        ("a flat WebP with alpha", "webp", {
            encode(DynamicImage::from(flat(4000)).to_rgba8(), ImageFormat::WebP)
        }),
    ];
    let mut beyond = Vec::new();
    for (what, ending, bytes) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("class")).unwrap();
        std::fs::write(folder.path().join(format!("class/image.{ending}")), &bytes).unwrap();
        let bound = 4 * bytes.len() + 64 * MIB;
        for preprocessing in [Preprocessing::AsStored, Preprocessing::IMAGENET] {
            let config =
                FolderConfig::new(folder.path()).with_preprocessing(preprocessing).with_cache_bytes(0);
            let (outcome, peak) = peak(|| match config.open() {
                Ok(dataset) => dataset.get(0).map(|sample| sample.image.shape),
                Err(error) => Err(error),
            });
            println!("{what}: {} bytes, {} KiB, {preprocessing}, {outcome:?}", bytes.len(), peak / 1024);
            if peak > bound {
                beyond.push(format!("{what}: {} MiB for {} bytes", peak / MIB, bytes.len()));
            }
        }
    }
    assert!(beyond.is_empty(), "{beyond:?}");
}

#[test]
fn large_photographs_are_read() {
    in_own_process("memory::large_photographs_are_read", read_large_photograph);
}

fn read_large_photograph() {
    // 24 megapixels, as cameras and telephones take them: 69 MiB of pixels.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("class")).unwrap();
    let image = RgbImage::from_fn(6000, 4000, |x, y| {
        let noise = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 13;
        Rgb([(x / 24) as u8, (y / 16) as u8, (noise % 96) as u8])
    });
    let path = folder.path().join("class/photograph.jpg");
    JpegEncoder::new_with_quality(std::fs::File::create(&path).unwrap(), 85).encode_image(&image).unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len() as usize;
    let config =
        FolderConfig::new(folder.path()).with_preprocessing(Preprocessing::IMAGENET).with_cache_bytes(0);
    let (shape, peak) = peak(|| config.open().map(|dataset: FolderDataset| dataset.image_shape()));
    println!("{bytes} bytes, {} MiB", peak / MIB);
    assert_eq!(shape.map_err(|error: DataError| error.to_string()), Ok([3, 224, 224]));
    assert!(peak <= 4 * bytes + 64 * MIB, "{} MiB for {bytes} bytes", peak / MIB);
}

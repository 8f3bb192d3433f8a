//! Damaged and hostile files: every reader is given mutated files, and must answer with data or an error, without
//! panicking and without allocating more than four times the files' size plus 64 MiB at any moment.
//!
//! `TWINS_MUTATIONS` says how many damaged files are tried per reader (500 without it).

use std::io::{Cursor, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use twins_data::{
    Channels, CifarDataset, CifarVariant, DataError, FolderConfig, ImageDataset, ListLayout, ListedDataset,
    MnistDataset, NonImages, Part, Preprocessing,
};
use twins_testing::{Mutations, allowance, cases, check_message, in_own_process};

use crate::counting::peak;

/// Files are read in milliseconds on an idle machine, but tests run side by side.
const LONGEST: Duration = Duration::from_secs(5);

/// Runs a check with the mutations of each case, and names the case that fails.
fn each(usual: u64, check: impl Fn(&mut Mutations, u64)) {
    for case in 0..cases(usual) {
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&mut Mutations::new(case), case)));
        if let Err(panic) = outcome {
            eprintln!("case {case}");
            resume_unwind(panic);
        }
    }
}

/// Writes files into a folder, opens them and reads every sample.
fn check<D: ImageDataset>(files: &[(&str, Vec<u8>)], open: impl Fn(&Path) -> Result<D, DataError>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let begin = Instant::now();
    let ((), allocated) = peak(|| open_and_read(folder.path(), open));
    let duration = begin.elapsed();
    let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(allocated <= allowance(size), "{allocated} bytes for {size} bytes of files");
    assert!(duration < LONGEST, "{duration:?} for {size} bytes of files");
}

fn open_and_read<D: ImageDataset>(folder: &Path, open: impl Fn(&Path) -> Result<D, DataError>) {
    let dataset = match open(folder) {
        Ok(dataset) => dataset,
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains(&*folder.to_string_lossy()), "{message}");
            return check_message(&message);
        }
    };
    for index in 0..dataset.len() {
        match dataset.get(index) {
            Ok(sample) => {
                assert_eq!(sample.image.shape, dataset.image_shape());
                assert_eq!(sample.image.pixels.len(), sample.image.shape.iter().product::<usize>());
                assert!(sample.label < dataset.classes().len());
            }
            Err(error) => check_message(&error.to_string()),
        }
    }
}

fn idx(dims: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = (0x0800 + dims.len() as u32).to_be_bytes().to_vec();
    dims.iter().for_each(|dim| file.extend(dim.to_be_bytes()));
    file.extend(bytes);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn picture() -> RgbImage {
    RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, (x * y) as u8]))
}

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Sets the checksums of PNG chunks, so that mutations reach what is behind them.
fn repair_png(bytes: &mut [u8]) {
    let mut position = 8;
    while let Some(&[a, b, c, d]) = bytes.get(position..position + 4) {
        let end = position.saturating_add(8 + u32::from_be_bytes([a, b, c, d]) as usize);
        if end.saturating_add(4) > bytes.len() {
            return;
        }
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[position + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.sum().to_be_bytes());
        position = end + 4;
    }
}

fn check_image(name: &str, bytes: Vec<u8>) {
    let name = format!("class/{name}");
    let files = [(name.as_str(), bytes)];
    // Without the cache, whose size is a setting.
    let config = |folder: &Path| FolderConfig::new(folder).with_cache_bytes(0);
    check(&files, |folder| config(folder).with_channels(Channels::Grey).open());
    check(&files, |folder| {
        config(folder).with_preprocessing(Preprocessing::IMAGENET).with_non_images(NonImages::Skip).open()
    });
}

/// The checks below as tests, each in a process of its own.
macro_rules! tests {
    ($($check:ident)*) => {
        mod mutated {
            $(#[test]
            fn $check() {
                super::in_own_process(concat!("hostile_files::mutated::", stringify!($check)), super::$check);
            })*
        }
    };
}

tests! { mnist mnist_that_is_hostile_inside cifar cifar_python png ppm jpeg progressive_jpeg_with_exif webp lossy_webp lists }

const CASES: u64 = 500;

fn mnist() {
    each(CASES, |mutations, case| {
        let mut image_file = idx(&[3, 4, 5], &[7; 60]);
        let mut label_file = idx(&[3], &[0, 5, 9]);
        if case % 2 == 0 {
            image_file = gzip(&image_file);
        }
        mutations.apply(&mut image_file);
        if case % 3 == 0 {
            mutations.apply(&mut label_file);
        }
        let files = [("t10k-images-idx3-ubyte.gz", image_file), ("t10k-labels-idx1-ubyte", label_file)];
        check(&files, |folder| MnistDataset::open(folder, Part::Test));
    });
}

fn mnist_that_is_hostile_inside() {
    each(CASES, |mutations, _| {
        let mut image_file = idx(&[3, 4, 5], &[7; 60]);
        mutations.apply(&mut image_file);
        let label_file = idx(&[3], &[0, 5, 9]);
        let files = [("t10k-images-idx3-ubyte", gzip(&image_file)), ("t10k-labels-idx1-ubyte", label_file)];
        check(&files, |folder| MnistDataset::open(folder, Part::Test));
    });
}

fn cifar() {
    each(CASES, |mutations, case| {
        let mut records = vec![3; 2 * 3074];
        let mut class_file =
            (0..100).map(|class| format!("class {class}\n")).collect::<String>().into_bytes();
        mutations.apply(&mut records);
        if case % 2 == 0 {
            mutations.apply(&mut class_file);
        }
        let files = [("test.bin", records), ("fine_label_names.txt", class_file)];
        check(&files, |folder| CifarDataset::open(folder, CifarVariant::Cifar100, Part::Test));
    });
}

fn cifar_python() {
    each(CASES, |mutations, case| {
        let hundred = case % 2 == 0;
        let (mut batch, mut class_file) = if hundred {
            (
                include_bytes!("../golden/cifar_python/cifar-100-python/test").to_vec(),
                include_bytes!("../golden/cifar_python/cifar-100-python/meta").to_vec(),
            )
        } else {
            (
                include_bytes!("../golden/cifar_python/modern/test_batch").to_vec(),
                include_bytes!("../golden/cifar_python/cifar-10-batches-py/batches.meta").to_vec(),
            )
        };
        mutations.apply(&mut batch);
        if case % 3 == 0 {
            mutations.apply(&mut class_file);
        }
        let (variant, [batch_name, class_name]) = if hundred {
            (CifarVariant::Cifar100, ["test", "meta"])
        } else {
            (CifarVariant::Cifar10, ["test_batch", "batches.meta"])
        };
        let files = [(batch_name, batch), (class_name, class_file)];
        check(&files, |folder| CifarDataset::open(folder, variant, Part::Test));
    });
}

fn png() {
    each(CASES, |mutations, case| {
        let picture = DynamicImage::from(picture());
        let picture = if case % 2 == 0 { picture.to_rgba16().into() } else { picture };
        let mut bytes = encode(picture, ImageFormat::Png);
        mutations.apply(&mut bytes);
        if case % 3 != 0 {
            repair_png(&mut bytes);
        }
        check_image("image.png", bytes);
    });
}

fn ppm() {
    use image::codecs::pnm::{PnmEncoder, PnmSubtype, SampleEncoding};
    each(CASES, |mutations, case| {
        let encoding = if case % 2 == 0 { SampleEncoding::Ascii } else { SampleEncoding::Binary };
        let grey = case % 3 == 0;
        let subtype = if grey { PnmSubtype::Graymap(encoding) } else { PnmSubtype::Pixmap(encoding) };
        let picture = DynamicImage::from(picture());
        let picture = if grey { picture.to_luma8().into() } else { picture };
        let mut bytes = Vec::new();
        picture.write_with_encoder(PnmEncoder::new(&mut bytes).with_subtype(subtype)).unwrap();
        mutations.apply(&mut bytes);
        check_image("image.ppm", bytes);
    });
}

fn jpeg() {
    each(CASES, |mutations, case| {
        let mut bytes = Vec::new();
        let quality = 1 + (case % 100) as u8;
        JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&picture()).unwrap();
        mutations.apply(&mut bytes);
        check_image("image.jpg", bytes);
    });
}

/// Checks damaged forms of an image file.
fn mutated_image(name: &str, bytes: &[u8]) {
    each(CASES, |mutations, _| {
        let mut bytes = bytes.to_vec();
        mutations.apply(&mut bytes);
        check_image(name, bytes);
    });
}

fn progressive_jpeg_with_exif() {
    mutated_image("image.jpg", include_bytes!("../golden/jpeg/encoded/class/progressive_exif.jpg"));
}

fn webp() {
    mutated_image("image.webp", &encode(picture(), ImageFormat::WebP));
}

fn lossy_webp() {
    mutated_image("image.webp", include_bytes!("../golden/jpeg/lossy.webp"));
}

fn lists() {
    let image = encode(RgbImage::new(2, 2), ImageFormat::Png);
    let gtsrb = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n";
    let gtsrb = format!("{gtsrb}1.png;2;2;0;0;1;1;3\n2.png;2;2;0;0;1;1;42\n");
    each(3 * CASES, |mutations, case| {
        let (layout, path, texts) = match case % 5 {
            0 => (ListLayout::List, "list", vec![("list", "a/1.png\tb\ttrain\na/2.png\tc\ttrain\n")]),
            1 => (
                ListLayout::Cub200,
                "",
                vec![
                    ("images.txt", "1 a/1.png\n2 a/2.png\n"),
                    ("image_class_labels.txt", "1 1\n2 2\n"),
                    ("train_test_split.txt", "1 1\n2 1\n"),
                    ("classes.txt", "1 b\n2 c\n"),
                ],
            ),
            2 => (
                ListLayout::Dtd { split: 1 },
                "",
                vec![
                    ("labels/train1.txt", "a/1.png\n"),
                    ("labels/val1.txt", "a/2.png\n"),
                    ("labels/test1.txt", "a/3.png\n"),
                ],
            ),
            3 => (
                ListLayout::Pets,
                "",
                vec![
                    ("annotations/trainval.txt", "a_1 1 1 1\nb_2 2 1 1\n"),
                    ("annotations/test.txt", "a_3 1 1 1\n"),
                ],
            ),
            _ => (ListLayout::Gtsrb, "", vec![("GT-final_test.csv", &*gtsrb)]),
        };
        let mut files: Vec<(&str, Vec<u8>)> =
            texts.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect();
        let mutated = (case / 5) as usize % files.len();
        mutations.apply(&mut files[mutated].1);
        for name in [
            "a/1.png",
            "a/2.png",
            "images/a/1.png",
            "images/a/2.png",
            "images/a/3.png",
            "images/a_1.jpg",
            "images/b_2.jpg",
            "images/a_3.jpg",
            "Final_Test/Images/1.png",
            "Final_Test/Images/2.png",
        ] {
            files.push((name, image.clone()));
        }
        let part = if layout == ListLayout::Gtsrb { Part::Test } else { Part::Train };
        check(&files, |folder| ListedDataset::open(layout, part, &FolderConfig::new(folder.join(path))));
    });
}

/// Found by mutations: a picture of 808 × 14 592 pixels in 147 bytes, with a partition of 11 MB.
#[test]
fn a_lossy_webp_that_claims_a_partition_longer_than_itself() {
    in_own_process("hostile_files::a_lossy_webp_that_claims_a_partition_longer_than_itself", read_lossy_webp);
}

fn read_lossy_webp() {
    let mut bytes = include_bytes!("../golden/jpeg/lossy.webp").to_vec();
    let place = |bytes: &[u8], at: usize| (at * bytes.len()) >> 16;
    let start = place(&bytes, 28504);
    let end = (start + 162).min(bytes.len());
    bytes.drain(start..end);
    let at = place(&bytes, 13612);
    bytes.splice(at..at, [67, 0, 185, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    check_image("image.webp", bytes);
}

/// A list of 20 000 class names that are all the same text of 60 kB.
#[test]
fn class_names_that_a_few_bytes_repeat() {
    in_own_process("hostile_files::class_names_that_a_few_bytes_repeat", read_repeated_names);
}

fn read_repeated_names() {
    let names = [
        &b"\x80\x02}X\x0b\0\0\0label_names](X"[..],
        &60_000u32.to_le_bytes(),
        &[b'a'; 60_000],
        b"q\x01",
        &b"h\x01".repeat(19_999)[..],
        b"es.",
    ]
    .concat();
    let batch = include_bytes!("../golden/cifar_python/modern/test_batch").to_vec();
    let files = [("test_batch", batch), ("batches.meta", names)];
    check(&files, |folder| {
        let opened = CifarDataset::open(folder, CifarVariant::Cifar10, Part::Test);
        assert!(matches!(opened, Err(DataError::ClassCount { found: 20_000, .. })));
        opened
    });
}

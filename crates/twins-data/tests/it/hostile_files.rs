//! Damaged and hostile files: every reader is given mutated files, and must answer with data or an error, without
//! panicking and without allocating more than four times the files' size plus 64 MiB at any moment.
//!
//! `PROPTEST_CASES` says how many mutations are tried per reader (256 without it).

use std::io::{Cursor, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use proptest::collection::vec;
use proptest::prelude::*;
use twins_data::{
    Channels, CifarDataset, CifarVariant, DataError, FolderConfig, ImageDataset, ListLayout, ListedDataset,
    MnistDataset, NonImages, Part, Preprocessing,
};
use twins_testing::in_own_process;

use crate::counting::peak;

/// A change to a file; positions are fractions of its length, of 2¹⁶.
#[derive(Debug, Clone)]
enum Mutation {
    Set(u16, u8),
    SetNearStart(u8, u8),
    Fill(u16, u8, u8),
    Insert(u16, Vec<u8>),
    Remove(u16, u8),
    Truncate(u16),
    Repeat(u16, u8),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(at, byte)| Mutation::SetNearStart(at, byte)),
        1 => (any::<u16>(), any::<u8>(), prop_oneof![Just(0), Just(0x7f), Just(0xff)])
            .prop_map(|(at, length, byte)| Mutation::Fill(at, length, byte)),
        1 => (any::<u16>(), vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (any::<u16>(), any::<u8>()).prop_map(|(at, length)| Mutation::Remove(at, length)),
        1 => any::<u16>().prop_map(Mutation::Truncate),
        1 => (any::<u16>(), any::<u8>()).prop_map(|(at, length)| Mutation::Repeat(at, length)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutations: &[Mutation]) {
    for mutation in mutations {
        let place = |at: u16| (usize::from(at) * bytes.len()) >> 16;
        let end = |start: usize, length: u8| (start + usize::from(length) + 1).min(bytes.len());
        match mutation {
            _ if bytes.is_empty() => {}
            Mutation::Set(at, byte) => {
                let at = place(*at);
                bytes[at] = *byte;
            }
            Mutation::SetNearStart(at, byte) => {
                let at = usize::from(*at / 4).min(bytes.len() - 1);
                bytes[at] = *byte;
            }
            Mutation::Fill(at, length, byte) => {
                let start = place(*at);
                let range = start..end(start, *length % 16);
                bytes[range].fill(*byte);
            }
            Mutation::Insert(at, inserted) => {
                let at = place(*at);
                bytes.splice(at..at, inserted.iter().copied());
            }
            Mutation::Remove(at, length) => {
                let start = place(*at);
                let range = start..end(start, *length);
                bytes.drain(range);
            }
            Mutation::Truncate(at) => bytes.truncate(place(*at)),
            Mutation::Repeat(at, length) => {
                let start = place(*at);
                let repeated = bytes[start..end(start, *length)].to_vec();
                bytes.splice(start..start, repeated);
            }
        }
    }
}

/// Writes files into a folder, opens them and reads every sample.
fn check<D: ImageDataset>(
    files: &[(&str, Vec<u8>)],
    open: impl Fn(&Path) -> Result<D, DataError>,
) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let (outcome, allocated) = peak(|| open_and_read(folder.path(), open));
    outcome?;
    let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    prop_assert!(allocated <= 4 * size + (64 << 20), "{} bytes for {} bytes of files", allocated, size);
    Ok(())
}

fn open_and_read<D: ImageDataset>(
    folder: &Path,
    open: impl Fn(&Path) -> Result<D, DataError>,
) -> Result<(), TestCaseError> {
    let dataset = match open(folder) {
        Ok(dataset) => dataset,
        Err(error) => {
            prop_assert!(error.to_string().contains(&*folder.to_string_lossy()), "{}", error);
            return Ok(());
        }
    };
    for index in 0..dataset.len() {
        match dataset.get(index) {
            Ok(sample) => {
                prop_assert_eq!(sample.image.shape, dataset.image_shape());
                prop_assert_eq!(sample.image.pixels.len(), sample.image.shape.iter().product::<usize>());
                prop_assert!(sample.label < dataset.classes().len());
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
    Ok(())
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

fn check_image(name: &str, bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let name = format!("class/{name}");
    let files = [(name.as_str(), bytes)];
    check(&files, |folder| FolderConfig::new(folder).with_channels(Channels::Grey).open())?;
    check(&files, |folder| {
        FolderConfig::new(folder)
            .with_preprocessing(Preprocessing::IMAGENET)
            .with_non_images(NonImages::Skip)
            .open()
    })
}

/// The properties below as tests, each in a process of its own.
macro_rules! tests {
    ($($property:ident)*) => {
        mod mutated {
            $(#[test]
            fn $property() {
                super::in_own_process(concat!("hostile_files::mutated::", stringify!($property)), super::$property);
            })*
        }
    };
}

tests! { mnist mnist_that_is_hostile_inside cifar cifar_python png ppm jpeg progressive_jpeg_with_exif webp lossy_webp lists }

proptest! {
    fn mnist(mutations in vec(mutation(), 1..6), labels in vec(mutation(), 0..2), compressed in any::<bool>()) {
        let mut image_file = idx(&[3, 4, 5], &[7; 60]);
        let mut label_file = idx(&[3], &[0, 5, 9]);
        if compressed {
            image_file = gzip(&image_file);
        }
        mutate(&mut image_file, &mutations);
        mutate(&mut label_file, &labels);
        let files = [("t10k-images-idx3-ubyte.gz", image_file), ("t10k-labels-idx1-ubyte", label_file)];
        check(&files, |folder| MnistDataset::open(folder, Part::Test))?;
    }

    fn mnist_that_is_hostile_inside(mutations in vec(mutation(), 1..6)) {
        let mut image_file = idx(&[3, 4, 5], &[7; 60]);
        mutate(&mut image_file, &mutations);
        let files =
            [("t10k-images-idx3-ubyte", gzip(&image_file)), ("t10k-labels-idx1-ubyte", idx(&[3], &[0, 5, 9]))];
        check(&files, |folder| MnistDataset::open(folder, Part::Test))?;
    }

    fn cifar(mutations in vec(mutation(), 1..4), names in vec(mutation(), 0..2)) {
        let mut records = vec![3; 2 * 3074];
        let mut class_file = (0..100).map(|class| format!("class {class}\n")).collect::<String>().into_bytes();
        mutate(&mut records, &mutations);
        mutate(&mut class_file, &names);
        let files = [("test.bin", records), ("fine_label_names.txt", class_file)];
        check(&files, |folder| CifarDataset::open(folder, CifarVariant::Cifar100, Part::Test))?;
    }

    fn cifar_python(mutations in vec(mutation(), 1..5), names in vec(mutation(), 0..2), hundred in any::<bool>()) {
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
        mutate(&mut batch, &mutations);
        mutate(&mut class_file, &names);
        let (variant, [batch_name, class_name]) = if hundred {
            (CifarVariant::Cifar100, ["test", "meta"])
        } else {
            (CifarVariant::Cifar10, ["test_batch", "batches.meta"])
        };
        let files = [(batch_name, batch), (class_name, class_file)];
        check(&files, |folder| CifarDataset::open(folder, variant, Part::Test))?;
    }

    fn png(mutations in vec(mutation(), 1..5), sixteen in any::<bool>(), repaired in any::<bool>()) {
        let picture = DynamicImage::from(picture());
        let picture = if sixteen { picture.to_rgba16().into() } else { picture };
        let mut bytes = encode(picture, ImageFormat::Png);
        mutate(&mut bytes, &mutations);
        if repaired {
            repair_png(&mut bytes);
        }
        check_image("image.png", bytes)?;
    }

    fn ppm(mutations in vec(mutation(), 1..5), grey in any::<bool>(), text in any::<bool>()) {
        use image::codecs::pnm::{PnmEncoder, PnmSubtype, SampleEncoding};
        let encoding = if text { SampleEncoding::Ascii } else { SampleEncoding::Binary };
        let subtype = if grey { PnmSubtype::Graymap(encoding) } else { PnmSubtype::Pixmap(encoding) };
        let picture = DynamicImage::from(picture());
        let picture = if grey { picture.to_luma8().into() } else { picture };
        let mut bytes = Vec::new();
        picture.write_with_encoder(PnmEncoder::new(&mut bytes).with_subtype(subtype)).unwrap();
        mutate(&mut bytes, &mutations);
        check_image("image.ppm", bytes)?;
    }

    fn jpeg(mutations in vec(mutation(), 1..5), quality in 1..=100u8) {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&picture()).unwrap();
        mutate(&mut bytes, &mutations);
        check_image("image.jpg", bytes)?;
    }

    fn progressive_jpeg_with_exif(mutations in vec(mutation(), 1..5)) {
        let mut bytes = include_bytes!("../golden/jpeg/encoded/class/progressive_exif.jpg").to_vec();
        mutate(&mut bytes, &mutations);
        check_image("image.jpg", bytes)?;
    }

    fn webp(mutations in vec(mutation(), 1..5)) {
        let mut bytes = encode(picture(), ImageFormat::WebP);
        mutate(&mut bytes, &mutations);
        check_image("image.webp", bytes)?;
    }

    fn lists(layout in 0..5usize, which in 0..4usize, mutations in vec(mutation(), 1..5)) {
        let image = encode(RgbImage::new(2, 2), ImageFormat::Png);
        let gtsrb = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n";
        let gtsrb = format!("{gtsrb}1.png;2;2;0;0;1;1;3\n2.png;2;2;0;0;1;1;42\n");
        let (layout, path, texts) = match layout {
            0 => (ListLayout::List, "list", vec![("list", "a/1.png\tb\ttrain\na/2.png\tc\ttrain\n")]),
            1 => (ListLayout::Cub200, "", vec![
                ("images.txt", "1 a/1.png\n2 a/2.png\n"),
                ("image_class_labels.txt", "1 1\n2 2\n"),
                ("train_test_split.txt", "1 1\n2 1\n"),
                ("classes.txt", "1 b\n2 c\n"),
            ]),
            2 => (ListLayout::Dtd { split: 1 }, "", vec![
                ("labels/train1.txt", "a/1.png\n"),
                ("labels/val1.txt", "a/2.png\n"),
                ("labels/test1.txt", "a/3.png\n"),
            ]),
            3 => (ListLayout::Pets, "", vec![
                ("annotations/trainval.txt", "a_1 1 1 1\nb_2 2 1 1\n"),
                ("annotations/test.txt", "a_3 1 1 1\n"),
            ]),
            _ => (ListLayout::Gtsrb, "", vec![("GT-final_test.csv", &*gtsrb)]),
        };
        let mut files: Vec<(&str, Vec<u8>)> =
            texts.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect();
        let mutated = which % files.len();
        mutate(&mut files[mutated].1, &mutations);
        for name in [
            "a/1.png", "a/2.png", "images/a/1.png", "images/a/2.png", "images/a/3.png", "images/a_1.jpg",
            "images/b_2.jpg", "images/a_3.jpg", "Final_Test/Images/1.png", "Final_Test/Images/2.png",
        ] {
            files.push((name, image.clone()));
        }
        let part = if layout == ListLayout::Gtsrb { Part::Test } else { Part::Train };
        check(&files, |folder| ListedDataset::open(layout, part, &FolderConfig::new(folder.join(path))))?;
    }

    fn lossy_webp(mutations in vec(mutation(), 1..5)) {
        let mut bytes = include_bytes!("../golden/jpeg/lossy.webp").to_vec();
        mutate(&mut bytes, &mutations);
        check_image("image.webp", bytes)?;
    }
}

/// Found by the mutations above: a picture of 808 × 14 592 pixels in 147 bytes, with a partition of 11 MB.
#[test]
fn a_lossy_webp_that_claims_a_partition_longer_than_itself() {
    in_own_process("hostile_files::a_lossy_webp_that_claims_a_partition_longer_than_itself", read_lossy_webp);
}

fn read_lossy_webp() {
    let mut bytes = include_bytes!("../golden/jpeg/lossy.webp").to_vec();
    let size = [67, 0, 185, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    mutate(&mut bytes, &[Mutation::Remove(28504, 161), Mutation::Insert(13612, size.to_vec())]);
    check_image("image.webp", bytes).unwrap();
}

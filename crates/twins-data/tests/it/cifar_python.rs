//! CIFAR's pickled form; `golden/cifar_python` says how the files were made.

use std::path::{Path, PathBuf};

use burn_dataset::Dataset;
use twins_data::{CifarDataset, CifarVariant, DataError, DataSource, ImageDataset, Part, PickleFault};

fn golden() -> PathBuf {
    twins_testing::repository().join("crates/twins-data/tests/golden/cifar_python")
}

/// The generator's image of that number.
fn image(number: usize) -> Vec<u8> {
    (number * 3072..(number + 1) * 3072).map(|index| (index * 7 % 251) as u8).collect()
}

fn open(folder: impl AsRef<Path>, variant: CifarVariant, part: Part) -> Result<CifarDataset, DataError> {
    CifarDataset::open(folder, variant, part)
}

#[test]
fn reads_the_published_form_from_either_folder() {
    for folder in [golden(), golden().join("cifar-10-batches-py")] {
        let train = open(&folder, CifarVariant::Cifar10, Part::Train).unwrap();
        assert_eq!(train.labels().unwrap(), [3, 4, 5, 6, 7]);
        assert_eq!(train.classes()[3], "cat");
        for index in 0..5 {
            assert_eq!(train.get(index).unwrap().image.pixels, image(index));
        }
    }
    let test = open(golden(), CifarVariant::Cifar10, Part::Test).unwrap();
    assert_eq!(test.labels().unwrap(), [9, 0]);
    assert_eq!(test.get(1).unwrap().image.pixels, image(6));
}

#[test]
fn reads_the_fine_labels_of_cifar100_and_what_python_3_saves() {
    let source: DataSource = format!("cifar100:{}", golden().display()).parse().unwrap();
    let test = source.open(Part::Test).unwrap();
    assert_eq!(test.labels().unwrap(), [99, 0]);
    assert_eq!(test.classes()[99], "fine 99");
    assert_eq!(test.get(1).unwrap().image.pixels, image(8));

    let test = open(golden().join("modern"), CifarVariant::Cifar10, Part::Test).unwrap();
    assert_eq!(test.get(0).unwrap().image.pixels, image(5));
}

#[test]
fn the_binary_form_is_read_where_both_are_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(golden().join("modern/test_batch"), folder.path().join("test_batch")).unwrap();
    std::fs::write(folder.path().join("test_batch.bin"), [7; 3073]).unwrap();
    let test = open(folder.path(), CifarVariant::Cifar10, Part::Test).unwrap();
    assert_eq!(test.labels().unwrap(), [7]);
}

/// Opens the golden test batch after a change to its bytes.
fn damaged(change: impl Fn(&mut Vec<u8>)) -> Result<CifarDataset, DataError> {
    let mut bytes = std::fs::read(golden().join("cifar-10-batches-py/test_batch")).unwrap();
    change(&mut bytes);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test_batch"), bytes).unwrap();
    open(folder.path(), CifarVariant::Cifar10, Part::Test)
}

fn replace(bytes: &mut Vec<u8>, from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the file has it");
    bytes.splice(at..at + from.len(), to.iter().copied());
}

#[test]
fn every_truncation_is_told() {
    let length = std::fs::metadata(golden().join("cifar-10-batches-py/test_batch")).unwrap().len() as usize;
    // Everywhere around the structure; inside the pixels every place is like the others.
    for length in (0..230).chain((230..length - 60).step_by(997)).chain(length - 60..length) {
        let error = damaged(|bytes| bytes.truncate(length)).unwrap_err();
        let DataError::Pickle { fault: PickleFault::Truncated { position }, .. } = &error else {
            panic!("{length}: {error}")
        };
        assert_eq!(*position, length);
    }
}

#[test]
fn a_pickle_that_asks_for_code_is_refused_by_name() {
    for (module, name) in [("os", "system"), ("builtins", "eval"), ("numpy", "fromfile")] {
        let global = format!("c{module}\n{name}\n");
        let change = |bytes: &mut Vec<u8>| replace(bytes, b"cnumpy\nndarray\n", global.as_bytes());
        let message = damaged(change).unwrap_err().to_string();
        assert!(
            message.contains(&format!("{module}.{name}")) && message.contains("nothing was run"),
            "{message}"
        );
        assert!(message.contains("test_batch"), "{message}");
    }
}

#[test]
fn labels_and_images_must_belong_together() {
    // [9, 0] becomes [9], [9, 0, 0], [9, 10] and [9, None].
    let labels = |to: &'static [u8]| {
        move |bytes: &mut Vec<u8>| {
            replace(bytes, b"]q\x04(K\x09K\x00e", &[b"]q\x04(K\x09", to, b"e"].concat())
        }
    };
    for (to, count) in [(&b""[..], 1), (b"K\x00K\x00", 3)] {
        let error = damaged(labels(to)).unwrap_err();
        assert!(
            matches!(error, DataError::LabelCount { images: 2, labels, .. } if labels == count),
            "{error}"
        );
    }
    let error = damaged(labels(b"K\x0a")).unwrap_err();
    assert!(matches!(error, DataError::LabelOutOfRange { index: 1, label: 10, .. }), "{error}");
    let error = damaged(labels(b"J\xff\xff\xff\xff")).unwrap_err();
    assert!(matches!(error, DataError::MissingEntry { entry: "labels", .. }), "{error}");
    let error = damaged(labels(b"N")).unwrap_err();
    assert!(matches!(error, DataError::MissingEntry { entry: "labels", .. }), "{error}");
}

#[test]
fn arrays_of_another_kind_are_refused() {
    let cases: [(&[u8], &[u8]); 6] = [
        // Another shape, a negative one, one that overflows, another type, by columns, and no array at all.
        (b"K\x02M\x00\x0c\x86", b"K\x02M\x00\x0b\x86"),
        (b"K\x02M\x00\x0c\x86", b"J\xff\xff\xff\xffM\x00\x0c\x86"),
        (b"K\x02M\x00\x0c\x86", b"J\xff\xff\xff\x7fM\x00\x0c\x86"),
        (b"U\x02u1", b"U\x02f4"),
        (b"b\x89T", b"b\x88T"),
        (b"U\x04data", b"U\x04dada"),
    ];
    for (from, to) in cases {
        let error = damaged(|bytes| replace(bytes, from, to)).unwrap_err();
        assert!(matches!(error, DataError::MissingEntry { entry: "data", .. }), "{to:?}: {error}");
    }
}

#[test]
fn names_and_files_that_lack_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(folder.path(), CifarVariant::Cifar10, Part::Test).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("test_batch.bin, test_batch;"), "{message}");

    // One training batch of five.
    let batches = golden().join("cifar-10-batches-py");
    std::fs::copy(batches.join("data_batch_1"), folder.path().join("data_batch_1")).unwrap();
    let message = open(folder.path(), CifarVariant::Cifar10, Part::Train).unwrap_err().to_string();
    assert!(message.contains("data_batch_2"), "{message}");

    // The class names of the other data set.
    std::fs::copy(batches.join("test_batch"), folder.path().join("test_batch")).unwrap();
    std::fs::copy(golden().join("cifar-100-python/meta"), folder.path().join("batches.meta")).unwrap();
    let error = open(folder.path(), CifarVariant::Cifar10, Part::Test).unwrap_err();
    assert!(matches!(error, DataError::MissingEntry { entry: "label_names", .. }), "{error}");
}

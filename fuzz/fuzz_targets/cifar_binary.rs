//! CIFAR's binary form: records, and the file of class names. The first byte chooses which of them is read, and of which data set.

#![no_main]

use burn_twins_fuzz::{choice, images, path, write};
use libfuzzer_sys::fuzz_target;
use twins_data::{CifarDataset, CifarVariant, Part};

fuzz_target!(|bytes: &[u8]| {
    let (which, content) = choice(bytes);
    let (variant, folder, file, list, classes, record) = match which / 2 % 2 {
        0 => (CifarVariant::Cifar100, "cifar100", "test.bin", "fine_label_names.txt", 100, 3074),
        _ => (CifarVariant::Cifar10, "cifar10", "test_batch.bin", "batches.meta.txt", 10, 3073),
    };
    let records = vec![3; 2 * record];
    let names: String = (0..classes).map(|class| format!("class {class}\n")).collect();
    let (records, names) = match which % 2 {
        0 => (content, names.as_bytes()),
        _ => (&records[..], content),
    };
    write(&format!("{folder}/{file}"), records);
    write(&format!("{folder}/{list}"), names);
    images(records.len() + names.len(), || CifarDataset::open(path(folder), variant, Part::Test));
});

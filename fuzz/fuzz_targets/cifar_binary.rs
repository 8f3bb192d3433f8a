//! CIFAR's binary form: records, and the file of class names.

#![no_main]

use burn_twins_fuzz::{choice, images, path, write};
use libfuzzer_sys::fuzz_target;
use twins_data::{CifarDataset, CifarVariant, Part};

fuzz_target!(|bytes: &[u8]| {
    let (which, content) = choice(bytes);
    let records = vec![3; 2 * 3074];
    let names: String = (0..100).map(|class| format!("class {class}\n")).collect();
    let (records, names) = match which % 2 {
        0 => (content, names.as_bytes()),
        _ => (&records[..], content),
    };
    write("cifar_binary/test.bin", records);
    write("cifar_binary/fine_label_names.txt", names);
    let folder = path("cifar_binary");
    images(records.len() + names.len(), || CifarDataset::open(folder, CifarVariant::Cifar100, Part::Test));
});

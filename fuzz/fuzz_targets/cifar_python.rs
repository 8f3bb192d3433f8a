//! CIFAR's Python form: a pickled batch, and the pickled names of the classes.

#![no_main]

use burn_twins_fuzz::{choice, images, path, write};
use libfuzzer_sys::fuzz_target;
use twins_data::{CifarDataset, CifarVariant, Part};

const BATCH: &[u8] = include_bytes!("../../crates/twins-data/tests/golden/cifar_python/modern/test_batch");
const NAMES: &[u8] =
    include_bytes!("../../crates/twins-data/tests/golden/cifar_python/cifar-10-batches-py/batches.meta");

fuzz_target!(|bytes: &[u8]| {
    let (which, content) = choice(bytes);
    let (batch, names) = if which % 2 == 0 { (content, NAMES) } else { (BATCH, content) };
    write("cifar_python/test_batch", batch);
    write("cifar_python/batches.meta", names);
    let folder = path("cifar_python");
    images(batch.len() + names.len(), || CifarDataset::open(folder, CifarVariant::Cifar10, Part::Test));
});

//! MNIST's IDX files, plain and gzip: images, and labels.

#![no_main]

use burn_twins_fuzz::{choice, images, path, write};
use libfuzzer_sys::fuzz_target;
use twins_data::{MnistDataset, Part};

/// Three images of 4 x 5 pixels, and their labels.
const IMAGES: &[u8] = &{
    let mut file = [7; 16 + 60];
    let header = [0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5];
    let mut at = 0;
    while at < header.len() {
        file[at] = header[at];
        at += 1;
    }
    file
};
const LABELS: &[u8] = &[0, 0, 8, 1, 0, 0, 0, 3, 0, 5, 9];

fuzz_target!(|bytes: &[u8]| {
    let (which, content) = choice(bytes);
    let (pixels, labels) = if which % 2 == 0 { (content, LABELS) } else { (IMAGES, content) };
    write("idx/t10k-images-idx3-ubyte", pixels);
    write("idx/t10k-labels-idx1-ubyte", labels);
    images(pixels.len() + labels.len(), || MnistDataset::open(path("idx"), Part::Test));
});

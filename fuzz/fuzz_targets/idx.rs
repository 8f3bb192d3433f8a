//! MNIST's IDX files, plain and gzip: images, and labels. The first byte chooses which, and whether the target compresses the rest, because
//! changed files of gzip hardly ever have the checksum of their content.

#![no_main]

use std::io::Write;

use burn_twins_fuzz::{choice, images, path, write};
use flate2::Compression;
use flate2::write::GzEncoder;
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

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

fuzz_target!(|bytes: &[u8]| {
    let (which, content) = choice(bytes);
    let compressed = (which & 2 != 0).then(|| gzip(content));
    let content = compressed.as_deref().unwrap_or(content);
    let (pixels, labels) = if which % 2 == 0 { (content, LABELS) } else { (IMAGES, content) };
    write("idx/t10k-images-idx3-ubyte", pixels);
    write("idx/t10k-labels-idx1-ubyte", labels);
    images(pixels.len() + labels.len(), || MnistDataset::open(path("idx"), Part::Test));
});

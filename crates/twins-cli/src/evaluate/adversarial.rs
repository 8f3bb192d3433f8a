//! The file that `--save-adversarial` writes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use burn_twins::attack::{Journal, SampleStream};

use crate::support::Outcome;

/// Writes all images in order to a NumPy file, one at a time: the adversarial example if the journal has one, otherwise the clean image.
pub fn save_adversarial(path: &Path, samples: &SampleStream<'_>, journal: &Journal) -> Outcome {
    let source = samples.source();
    let part = path.with_extension("npy.part");
    let write = || -> Outcome {
        let mut file = BufWriter::new(File::create(&part)?);
        let [channels, height, width] = source.image_shape();
        file.write_all(&header([source.len(), channels, height, width]))?;
        for index in 0..source.len() {
            let adversarial = journal.image(index)?;
            let clean = || samples.load(index).map(|image| image.to_vec());
            for value in adversarial.map_or_else(clean, Ok)? {
                file.write_all(&value.to_le_bytes())?;
            }
        }
        file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        Ok(std::fs::rename(&part, path)?)
    };
    write().map_err(|error| {
        // On a full disk, it would be in the way.
        let _ = std::fs::remove_file(&part);
        format!("cannot write {}: {error}", path.display()).into()
    })
}

/// The header of NumPy's format version 1.0, padded so that the data begins at byte 128.
fn header([images, channels, height, width]: [usize; 4]) -> Vec<u8> {
    let text = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({images}, {channels}, {height}, {width}), }}"
    );
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(text.bytes());
    bytes.resize(127, b' ');
    bytes.push(b'\n');
    bytes
}

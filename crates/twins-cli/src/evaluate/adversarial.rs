//! The file that `--save-adversarial` writes.

use std::io::Write;
use std::path::Path;

use burn_twins::attack::{Journal, SampleStream};
use twins_files::AtomicFile;

use crate::support::Outcome;

/// Checks before the attacks that the file can be written. Missing folders are created.
pub fn check_writable(path: &Path) -> Outcome {
    let written = AtomicFile::write(path, b"");
    written.map(drop).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// Writes all images in order to a NumPy file, one at a time: the adversarial example if the journal has one, otherwise the clean image.
pub fn save_adversarial(path: &Path, samples: &SampleStream<'_>, journal: &Journal) -> Outcome {
    let source = samples.source();
    let write = || -> Outcome {
        let file = AtomicFile::write_with(path, |file| -> Outcome {
            let [channels, height, width] = source.image_shape();
            file.write_all(&header([source.len(), channels, height, width]))?;
            for index in 0..source.len() {
                let adversarial = journal.image(index)?;
                let clean = || samples.load(index).map(|image| image.to_vec());
                for value in adversarial.map_or_else(clean, Ok)? {
                    file.write_all(&value.to_le_bytes())?;
                }
            }
            Ok(())
        })?;
        Ok(file.commit()?)
    };
    write().map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// The header of NumPy's format version 1.0, which is all that the format adds to the values. It is padded so that the data begins at byte
/// 128.
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

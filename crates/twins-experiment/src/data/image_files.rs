use std::fs;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use twins_data::{DataError, ImageDataset};

use super::Parts;
use crate::error::ExperimentError;

/// Hashes of the images of each part, in order.
///
/// If each image is a file, the hash is that of the names, classes and sizes in bytes. The content is not read, because that would take as
/// long as an epoch without training. The folder is not part of the hash, so the data can be moved. Otherwise, such as for CIFAR and MNIST,
/// it is that of the pixels and classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImageFileHashes {
    /// The training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<String>,
    /// The data's own validation part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<String>,
    /// The test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

impl ImageFileHashes {
    /// Computes the hashes.
    ///
    /// # Errors
    ///
    /// A file or image that is missing or cannot be read.
    pub(crate) fn of(parts: &Parts) -> Result<Self, ExperimentError> {
        Ok(Self {
            train: Some(hash(&parts.train)?),
            validation: parts.validation.as_ref().map(hash).transpose()?,
            test: Some(hash(&parts.test)?),
        })
    }

    /// A line for each part that differs. Parts without a hash, as in the records of earlier versions, are not compared.
    pub(crate) fn differences(&self, recorded: &Self) -> Vec<String> {
        let parts = [
            ("training", &self.train, &recorded.train),
            ("validation", &self.validation, &recorded.validation),
            ("test", &self.test, &recorded.test),
        ];
        let differ = |now: &Option<String>, before: &Option<String>| {
            now.as_ref().zip(before.as_ref()).is_some_and(|(now, before)| now != before)
        };
        let changed = parts.into_iter().filter(|(_, now, before)| differ(now, before));
        changed
            .map(|(part, ..)| {
                format!("an image of the {part} part was replaced, renamed or moved to another class")
            })
            .collect()
    }
}

/// The hash of one part.
fn hash(images: &Arc<dyn ImageDataset>) -> Result<String, ExperimentError> {
    // What identifies an image. In parallel: files on a network answer slowly, but many at a time.
    let entry = |index| -> Result<Vec<u8>, DataError> {
        let Some(path) = images.file(index) else {
            let sample = images.get(index)?;
            let hash = Sha256::new().chain_update((sample.label as u64).to_le_bytes());
            return Ok(hash.chain_update(&sample.image.pixels).finalize().to_vec());
        };
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(source) => return Err(DataError::Io { path, source }),
        };
        let name = images.name(index).unwrap_or_default();
        let numbers = [size, images.label(index)? as u64, name.len() as u64];
        Ok([numbers.map(u64::to_le_bytes).as_flattened(), name.as_bytes()].concat())
    };
    let entries: Result<Vec<_>, DataError> = (0..images.len()).into_par_iter().map(entry).collect();
    let mut hash = Sha256::new();
    entries?.iter().for_each(|entry| hash.update(entry));
    Ok(format!("{:x}", hash.finalize()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use twins_data::{FolderConfig, TensorDataset};

    use super::*;

    fn folder(path: &Path) -> Parts {
        let images: Arc<dyn ImageDataset> = Arc::new(FolderConfig::new(path).open().unwrap());
        Parts { train: images.clone(), validation: None, test: images, held_out: None }
    }

    #[test]
    fn every_change_of_a_file_list_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("images");
        for file in ["a/1.ppm", "a/2.ppm", "b/3.ppm"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), b"P6\n1 1\n255\n\x0a\x14\x1e").unwrap();
        }
        let hashes = |path: &Path| ImageFileHashes::of(&folder(path)).unwrap();
        let before = hashes(&root);
        assert!(before.train.is_some() && before.train == before.test && before.validation.is_none());
        let moved = directory.path().join("elsewhere");
        fs::rename(&root, &moved).unwrap();
        assert_eq!(hashes(&moved).differences(&before), Vec::<String>::new());

        let differ = || hashes(&moved).differences(&before);
        let original = fs::read(moved.join("b/3.ppm")).unwrap();
        fs::write(moved.join("b/3.ppm"), b"P6\n1 1\n255 # longer\n\x0a\x14\x1e").unwrap();
        assert!(differ().len() == 2 && differ()[0].contains("training part"), "{:?}", differ());
        fs::write(moved.join("b/3.ppm"), original).unwrap();
        assert_eq!(differ().len(), 0);
        fs::rename(moved.join("a/2.ppm"), moved.join("b/2.ppm")).unwrap();
        assert_eq!(differ().len(), 2);
        fs::rename(moved.join("b/2.ppm"), moved.join("a/20.ppm")).unwrap();
        assert_eq!(differ().len(), 2);

        // A file that disappears after the folder was listed.
        let parts = folder(&moved);
        fs::remove_file(moved.join("a/20.ppm")).unwrap();
        let message = ImageFileHashes::of(&parts).unwrap_err().to_string();
        assert!(message.contains("20.ppm") && message.contains("check that it exists"), "{message}");
    }

    #[test]
    fn every_change_of_images_without_files_is_noticed() {
        let hashes = |pixels: [u8; 4], labels: [usize; 2]| {
            let data = TensorDataset::from_bytes([1, 1, 2], pixels.to_vec(), labels.to_vec()).unwrap();
            let images: Arc<dyn ImageDataset> = Arc::new(data.with_classes(["a", "b"]).unwrap());
            let parts = Parts {
                train: images.clone(),
                validation: Some(images.clone()),
                test: images,
                held_out: None,
            };
            ImageFileHashes::of(&parts).unwrap()
        };
        let before = hashes([1, 2, 3, 4], [0, 1]);
        assert_eq!(hashes([1, 2, 3, 4], [0, 1]).differences(&before), Vec::<String>::new());
        for (pixels, labels) in [([1, 2, 3, 5], [0, 1]), ([3, 4, 1, 2], [0, 1]), ([1, 2, 3, 4], [1, 0])] {
            let found = hashes(pixels, labels).differences(&before);
            assert!(found.len() == 3 && found[1].starts_with("an image of the validation part"), "{found:?}");
        }
    }

    #[test]
    fn parts_without_a_hash_are_not_compared() {
        let none = ImageFileHashes::default();
        let some = ImageFileHashes { test: Some("1".to_owned()), ..none.clone() };
        assert_eq!((some.differences(&none), none.differences(&some)), (Vec::new(), Vec::new()));
    }
}

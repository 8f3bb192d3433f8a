use std::fs;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use twins_data::{DataError, ImageDataset};

use super::Parts;
use crate::error::ExperimentError;

/// Hashes of the image files of each part: of their names, classes and sizes in bytes, in order. `None` stands for a part whose images are
/// not files of their own, such as CIFAR.
///
/// The content is not read, because that would take as long as an epoch without training. The folder is not part of the hash, so the data
/// can be moved.
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
    /// A file that is missing or cannot be read.
    pub(crate) fn of(parts: &Parts) -> Result<Self, ExperimentError> {
        Ok(Self {
            train: hash(&parts.train)?,
            validation: parts.validation.as_ref().map(hash).transpose()?.flatten(),
            test: hash(&parts.test)?,
        })
    }

    /// A line for each part whose files differ. Parts without a hash, as in the files of earlier versions, are not compared.
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
                format!(
                    "an image file of the {part} part was renamed, moved to another class or replaced by one of another \
                     size"
                )
            })
            .collect()
    }
}

fn hash(images: &Arc<dyn ImageDataset>) -> Result<Option<String>, ExperimentError> {
    // Files on a network answer slowly, but many at a time.
    let file = |index| -> Result<Option<(u64, usize, String)>, DataError> {
        let Some(path) = images.file(index) else { return Ok(None) };
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(source) => return Err(DataError::Io { path, source }),
        };
        Ok(Some((size, images.label(index)?, images.name(index).unwrap_or_default())))
    };
    let files: Result<Vec<_>, DataError> = (0..images.len()).into_par_iter().map(file).collect();
    let Some(files) = files?.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
    let mut hash = Sha256::new();
    for (size, label, name) in files {
        for number in [size, label as u64, name.len() as u64] {
            hash.update(number.to_le_bytes());
        }
        hash.update(name.as_bytes());
    }
    Ok(Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use twins_data::{BuiltinDataset, FolderConfig, Part, Task};

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
    fn parts_without_files_are_not_compared() {
        let images: Arc<dyn ImageDataset> = Arc::new(BuiltinDataset::new(Task::Target, Part::Test, 2, 0));
        let parts =
            Parts { train: images.clone(), validation: Some(images.clone()), test: images, held_out: None };
        let none = ImageFileHashes::of(&parts).unwrap();
        assert_eq!(none, ImageFileHashes::default());
        let some = ImageFileHashes { test: Some("1".to_owned()), ..none.clone() };
        assert_eq!((some.differences(&none), none.differences(&some)), (Vec::new(), Vec::new()));
    }
}

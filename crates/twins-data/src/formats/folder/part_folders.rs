use std::path::{Path, PathBuf};

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::folder::config::FolderConfig;

/// Returns the configuration that reads a part of a folder, with the classes of its training part.
pub(crate) fn folder_config(folder: &Path, part: Part) -> Result<FolderConfig, DataError> {
    let missing = || DataError::MissingPart { folder: folder.to_path_buf(), part };
    let (train, held_out) = match (PartFolders::find(folder), part) {
        (None, Part::Validation) => return Err(missing()),
        (None, _) => return Ok(FolderConfig::new(folder)),
        (Some(parts), Part::Train) => return Ok(FolderConfig::new(parts.train)),
        (Some(parts), Part::Validation) => (parts.train, parts.validation.ok_or_else(missing)?),
        (Some(parts), Part::Test) => (parts.train, parts.test),
    };
    // If a part lacks a class, the labels of the following classes must not change.
    Ok(FolderConfig::new(held_out).with_classes(FolderConfig::new(train).class_names()?))
}

/// The sub-folders of a folder that is divided into parts.
pub(crate) struct PartFolders {
    pub(crate) train: PathBuf,
    pub(crate) validation: Option<PathBuf>,
    pub(crate) test: PathBuf,
}

impl PartFolders {
    /// Finds the sub-folders, if there are both training and test images.
    pub(crate) fn find(folder: &Path) -> Option<Self> {
        let [train, validation, test] = ["train", "val", "test"].map(|name| {
            let path = folder.join(name);
            path.is_dir().then_some(path)
        });
        let train = train?;
        match (validation, test) {
            (validation, Some(test)) => Some(Self { train, validation, test }),
            (Some(test), None) => Some(Self { train, validation: None, test }),
            (None, None) => None,
        }
    }
}

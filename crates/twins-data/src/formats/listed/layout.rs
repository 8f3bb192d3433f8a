use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::listed::listing::Listing;
use crate::formats::listed::{caltech256, cub200, dogs, dtd, gtsrb, list_file, pets};

/// The layout of the files in which an archive lists its images with their classes and parts.
///
/// On the command line and in files, it is written as `list`, `caltech256`, `cub200`, `dogs`, `dtd` (split 1), `dtd@2`
/// to `dtd@10`, `gtsrb` or `pets`.
///
/// | layout | parts | the lists |
/// |---|---|---|
/// | `List` | those named | one file; a line for each image: its path from the list's folder, its class, and `train`, `val` or `test`, with tabs between them |
/// | `Caltech256` | train, test | none: the first 60 images of each of the 257 classes are trained on, as by Salman et al. (2020) |
/// | `Cub200` | train, test | `images.txt`, `image_class_labels.txt`, `train_test_split.txt`, `classes.txt` |
/// | `Dogs` | train, test | `train_list.txt`, `test_list.txt`, which have to be made from the archive's MATLAB files |
/// | `Dtd` | train, val, test | `labels/train1.txt` and so on, of split 1 to 10 |
/// | `Gtsrb` | train, test | `GT-00000.csv` to `GT-00042.csv`, `GT-final_test.csv` |
/// | `Pets` | train, test | `annotations/trainval.txt`, `annotations/test.txt` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ListLayout {
    /// A custom list.
    List,
    /// Caltech-256 (Griffin et al., 2007).
    Caltech256,
    /// CUB-200-2011 (Wah et al., 2011).
    Cub200,
    /// Stanford Dogs (Khosla et al., 2011).
    Dogs,
    /// Describable Textures Dataset (Cimpoi et al., 2014), one of its ten splits.
    Dtd {
        /// The split, 1 to 10.
        split: u8,
    },
    /// German Traffic Sign Recognition Benchmark (Stallkamp et al., 2012).
    Gtsrb,
    /// Oxford-IIIT Pet (Parkhi et al., 2012).
    Pets,
}

impl ListLayout {
    /// Whether there is a validation part. A custom list has one if its lines say so.
    pub(crate) fn has_validation(self, path: &Path) -> bool {
        match self {
            // Errors in the list are reported when it is opened.
            Self::List => list_file::read(path).is_ok_and(|listing| listing.has(Part::Validation)),
            Self::Dtd { .. } => true,
            _ => false,
        }
    }

    pub(super) fn read(self, path: &Path, part: Part) -> Result<Listing, DataError> {
        match self {
            Self::List => match list_file::read(path)? {
                listing if listing.has(part) => Ok(listing),
                // Its folder would not help, and has no name if it is the current one.
                _ => Err(DataError::MissingPart { folder: path.to_path_buf(), part }),
            },
            Self::Caltech256 => caltech256::read(path),
            Self::Cub200 => cub200::read(path),
            Self::Dogs => dogs::read(path),
            Self::Dtd { split } => dtd::read(path, split),
            Self::Gtsrb => gtsrb::read(path, part),
            Self::Pets => pets::read(path),
        }
    }
}

impl FromStr for ListLayout {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Ok(match name {
            "list" => Self::List,
            "caltech256" => Self::Caltech256,
            "cub200" => Self::Cub200,
            "dogs" => Self::Dogs,
            "dtd" => Self::Dtd { split: 1 },
            "gtsrb" => Self::Gtsrb,
            "pets" => Self::Pets,
            _ => match name.strip_prefix("dtd@").and_then(|split| split.parse().ok()) {
                Some(split) if (1..=10).contains(&split) => Self::Dtd { split },
                _ => {
                    return Err(DataError::InvalidSetting {
                        name: "the layout of the lists",
                        value: format!("{name:?}"),
                        range: "list, caltech256, cub200, dogs, dtd, dtd@2 to dtd@10, gtsrb or pets",
                    });
                }
            },
        })
    }
}

impl TryFrom<String> for ListLayout {
    type Error = DataError;

    fn try_from(name: String) -> Result<Self, DataError> {
        name.parse()
    }
}

impl From<ListLayout> for String {
    fn from(layout: ListLayout) -> Self {
        layout.to_string()
    }
}

impl fmt::Display for ListLayout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => formatter.write_str("list"),
            Self::Caltech256 => formatter.write_str("caltech256"),
            Self::Cub200 => formatter.write_str("cub200"),
            Self::Dogs => formatter.write_str("dogs"),
            Self::Dtd { split: 1 } => formatter.write_str("dtd"),
            Self::Dtd { split } => write!(formatter, "dtd@{split}"),
            Self::Gtsrb => formatter.write_str("gtsrb"),
            Self::Pets => formatter.write_str("pets"),
        }
    }
}

/// Finds the folder that contains `marker`: the given folder, or one of its sub-folders `names`, which archives create
/// when they are unpacked.
pub(super) fn nested(folder: &Path, names: &[&str], marker: &str) -> PathBuf {
    let places = names.iter().map(|name| folder.join(name));
    let found = std::iter::once(folder.to_path_buf()).chain(places).find(|place| place.join(marker).exists());
    found.unwrap_or_else(|| folder.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        let dtd = (1..=10).map(|split| ListLayout::Dtd { split });
        let others = [
            ListLayout::List,
            ListLayout::Caltech256,
            ListLayout::Cub200,
            ListLayout::Dogs,
            ListLayout::Gtsrb,
            ListLayout::Pets,
        ];
        for layout in dtd.chain(others) {
            let json = serde_json::to_string(&layout).unwrap();
            assert_eq!(json, format!("\"{layout}\""));
            assert_eq!(serde_json::from_str::<ListLayout>(&json).unwrap(), layout);
        }
        for name in ["dtd@0", "dtd@11", "dtd@", "cub", ""] {
            let message = name.parse::<ListLayout>().unwrap_err().to_string();
            assert!(message.contains(&format!("{name:?}")) && message.contains("caltech256"), "{message}");
        }
    }
}

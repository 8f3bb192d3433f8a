use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::builtin::dataset::BuiltinDataset;
use crate::builtin::task::Task;
use crate::datasets::image_dataset::ImageDataset;
use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::cifar::dataset::CifarDataset;
use crate::formats::cifar::variant::CifarVariant;
use crate::formats::folder::config::FolderConfig;
use crate::formats::folder::part_folders::{PartFolders, folder_config};
use crate::formats::listed::dataset::ListedDataset;
use crate::formats::listed::layout::ListLayout;
use crate::formats::mnist::dataset::MnistDataset;

/// A source of images, in the text form that the command line and files use.
///
/// | form | data |
/// |---|---|
/// | `builtin`, `builtin:source` | the target task and the source task of [`BuiltinDataset`] |
/// | `mnist:DIR`, `fashion-mnist:DIR` | [`MnistDataset`] |
/// | `cifar10:DIR`, `cifar100:DIR` | [`CifarDataset`] |
/// | `folder:DIR` | [`FolderDataset`](crate::FolderDataset) |
/// | `caltech256:DIR`, `cub200:DIR`, `dogs:DIR`, `dtd:DIR`, `dtd@2:DIR` … `dtd@10:DIR`, `gtsrb:DIR`, `pets:DIR`, `list:FILE` | [`ListedDataset`], in the [`ListLayout`] of that name |
///
/// If a folder has sub-folders `train` and `test`, these are the parts, and a sub-folder `val` is the validation part. If it has only
/// `train` and `val`, `val` is the test part, as for ImageNet. `train` defines the classes. A folder without these sub-folders returns all
/// its images for either part, and the caller splits them ([`has_parts`](DataSource::has_parts)).
///
/// ```
/// use std::path::PathBuf;
/// use twins_data::DataSource;
///
/// let source: DataSource = "folder:my images/pets".parse().unwrap();
/// assert_eq!(source, DataSource::Folder(PathBuf::from("my images/pets")));
/// assert_eq!(source.to_string(), "folder:my images/pets");
/// assert!("mnist".parse::<DataSource>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String")]
pub enum DataSource {
    /// `builtin`, `builtin:source`: the built-in procedural data.
    Builtin(Task),
    /// `mnist:DIR`: MNIST in its published files.
    Mnist(PathBuf),
    /// `fashion-mnist:DIR`: Fashion-MNIST in its published files.
    FashionMnist(PathBuf),
    /// `cifar10:DIR`, `cifar100:DIR`: CIFAR in its binary or Python form.
    Cifar(CifarVariant, PathBuf),
    /// `folder:DIR`: one sub-folder of images per class.
    Folder(PathBuf),
    /// `cub200:DIR`, `list:FILE` and so on: images named by list files.
    Listed(ListLayout, PathBuf),
}

impl DataSource {
    /// The number of training samples of the built-in data.
    pub const BUILTIN_TRAIN: usize = 10_000;
    /// The number of test samples of the built-in data.
    pub const BUILTIN_TEST: usize = 2_000;

    /// Whether the training and test parts have different images. They do not in a folder without `train` and `test` (or `val`).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use twins_data::DataSource;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let source: DataSource = format!("folder:{}", folder.path().display()).parse()?;
    /// assert!(!source.has_parts());
    /// std::fs::create_dir(folder.path().join("train"))?;
    /// std::fs::create_dir(folder.path().join("test"))?;
    /// assert!(source.has_parts());
    /// # Ok(())
    /// # }
    /// ```
    pub fn has_parts(&self) -> bool {
        match self {
            Self::Folder(folder) => PartFolders::find(folder).is_some(),
            _ => true,
        }
    }

    /// Whether the data has a validation part, as a folder with `train`, `val` and `test` does.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use twins_data::DataSource;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let source: DataSource = format!("folder:{}", folder.path().display()).parse()?;
    /// for part in ["train", "val"] {
    ///     std::fs::create_dir(folder.path().join(part))?;
    /// }
    /// // The test part, as long as there is no other.
    /// assert!(!source.has_validation());
    /// std::fs::create_dir(folder.path().join("test"))?;
    /// assert!(source.has_validation());
    /// # Ok(())
    /// # }
    /// ```
    pub fn has_validation(&self) -> bool {
        match self {
            Self::Folder(folder) => PartFolders::find(folder).is_some_and(|parts| parts.validation.is_some()),
            Self::Listed(layout, path) => layout.has_validation(path),
            _ => false,
        }
    }

    /// Whether the data consists of image files, which may have different sizes until a
    /// [`Preprocessing`](crate::Preprocessing) resizes and crops them.
    pub fn has_image_files(&self) -> bool {
        matches!(self, Self::Folder(_) | Self::Listed(..))
    }

    /// Opens a part.
    ///
    /// # Errors
    /// The errors of the reader, and [`DataError::MissingPart`] for the validation part of data that has none
    /// ([`has_validation`](Self::has_validation)).
    pub fn open(&self, part: Part) -> Result<Arc<dyn ImageDataset>, DataError> {
        self.open_with(part, |folder| folder)
    }

    /// Opens a part, and configures the decoding of image files. For other sources, `configure` has no effect.
    ///
    /// ```
    /// use twins_data::{DataSource, Preprocessing, NonImages, Part};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::create_dir(folder.path().join("cat"))?;
    /// # image::RgbImage::new(500, 375).save(folder.path().join("cat/1.png"))?;
    /// let source: DataSource = format!("folder:{}", folder.path().display()).parse()?;
    /// let photographs = source.open_with(Part::Test, |folder| {
    ///     folder.with_preprocessing(Preprocessing::IMAGENET).with_non_images(NonImages::Skip)
    /// })?;
    /// assert_eq!(photographs.image_shape(), [3, 224, 224]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The same as [`open`](Self::open).
    pub fn open_with(
        &self,
        part: Part,
        configure: impl Fn(FolderConfig) -> FolderConfig,
    ) -> Result<Arc<dyn ImageDataset>, DataError> {
        Ok(match self {
            Self::Builtin(task) => {
                let len = match part {
                    Part::Train => Self::BUILTIN_TRAIN,
                    Part::Test => Self::BUILTIN_TEST,
                    Part::Validation => {
                        return Err(DataError::MissingPart { folder: self.to_string().into(), part });
                    }
                };
                Arc::new(BuiltinDataset::new(*task, part, len, 0))
            }
            Self::Mnist(folder) => Arc::new(MnistDataset::open(folder, part)?),
            Self::FashionMnist(folder) => Arc::new(MnistDataset::open_fashion(folder, part)?),
            Self::Cifar(variant, folder) => Arc::new(CifarDataset::open(folder, *variant, part)?),
            Self::Folder(folder) => Arc::new(configure(folder_config(folder, part)?).open()?),
            Self::Listed(layout, path) => {
                Arc::new(ListedDataset::open(*layout, part, &configure(FolderConfig::new(path)))?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use ::image::GrayImage;

    use super::*;

    #[test]
    fn text_survives_the_round_trip() {
        for text in [
            "builtin",
            "builtin:source",
            "mnist:a",
            "fashion-mnist:a/b",
            "cifar10:/c",
            "cifar100:d e",
            "folder:C:\\f",
            "list:a b.tsv",
            "caltech256:f",
            "cub200:f",
            "dogs:f",
            "dtd:f",
            "dtd@10:f",
            "gtsrb:f",
            "pets:f",
        ] {
            let source = text.parse::<DataSource>().unwrap();
            assert_eq!(source.to_string(), text);
            let json = serde_json::to_string(&source).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<DataSource>(&json).unwrap(), source);
        }
        let message = serde_json::from_str::<DataSource>("\"svhn:x\"").unwrap_err().to_string();
        assert!(message.contains("svhn:x") && message.contains("cifar10:DIR"), "{message}");
        assert_eq!("builtin:target".parse::<DataSource>().unwrap(), DataSource::Builtin(Task::Target));
    }

    #[test]
    #[cfg(unix)]
    fn a_path_that_no_text_can_hold_is_not_saved() {
        use std::os::unix::ffi::OsStringExt;
        let source = DataSource::Folder(std::ffi::OsString::from_vec(vec![b'a', 0xff]).into());
        let message = serde_json::to_string(&source).unwrap_err().to_string();
        assert!(message.contains("not UTF-8"), "{message}");
    }

    #[test]
    fn unknown_forms_list_the_known_ones() {
        for text in ["", "mnist", "folder:", "svhn:x", "builtin:x", "builtin:", "dtd@0:f", "dtd@11:f"] {
            let error = text.parse::<DataSource>().unwrap_err();
            assert!(error.to_string().contains("cifar10:DIR"), "{error}");
        }
    }

    #[test]
    fn builtin_data_opens() {
        let source = DataSource::Builtin(Task::Target);
        assert_eq!(source.open(Part::Train).unwrap().len(), DataSource::BUILTIN_TRAIN);
        assert_eq!(source.open(Part::Test).unwrap().len(), DataSource::BUILTIN_TEST);
    }

    fn folder(files: &[&str]) -> (tempfile::TempDir, DataSource) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            GrayImage::new(2, 2).save(path).unwrap();
        }
        let source = DataSource::Folder(folder.path().to_path_buf());
        (folder, source)
    }

    #[test]
    fn a_folder_without_parts_is_both() {
        let (_folder, source) = folder(&["a/1.png", "b/1.png"]);
        assert_eq!(source.open(Part::Train).unwrap().len(), 2);
        assert_eq!(source.open(Part::Test).unwrap().len(), 2);
    }

    #[test]
    fn the_training_part_says_which_classes_there_are() {
        for test in ["test", "val"] {
            let file = format!("{test}/b/1.png");
            let (_folder, source) = folder(&["train/a/1.png", "train/b/1.png", &file]);
            assert_eq!(source.open(Part::Train).unwrap().labels().unwrap(), [0, 1]);
            assert_eq!(source.open(Part::Test).unwrap().labels().unwrap(), [1]);
        }
        let (_folder, source) = folder(&["train/a/1.png", "test/b/1.png"]);
        assert!(matches!(source.open(Part::Test), Err(DataError::UnknownClass { .. })));
    }

    #[test]
    fn val_beside_test_is_the_validation_part() {
        let files =
            ["train/a/1.png", "train/b/1.png", "val/b/1.png", "test/a/1.png", "test/b/1.png", "test/b/2.png"];
        let (_folder, source) = folder(&files);
        assert!(source.has_parts() && source.has_validation());
        let labels = |part| source.open(part).unwrap().labels().unwrap();
        assert_eq!(labels(Part::Train), [0, 1]);
        assert_eq!(labels(Part::Validation), [1]);
        assert_eq!(labels(Part::Test), [0, 1, 1]);
    }

    #[test]
    fn a_validation_part_that_is_not_there_is_an_error() {
        let (_whole, whole) = folder(&["a/1.png"]);
        let (_two, two) = folder(&["train/a/1.png", "val/a/1.png"]);
        let others = ["builtin", "mnist:none", "cifar10:none"].map(|text| text.parse().unwrap());
        for source in others.into_iter().chain([whole, two]) {
            assert!(!source.has_validation());
            let error = source.open(Part::Validation).err().unwrap();
            assert!(matches!(error, DataError::MissingPart { part: Part::Validation, .. }), "{error}");
        }
    }
}

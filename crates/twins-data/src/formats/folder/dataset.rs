use std::ffi::OsString;
use std::path::PathBuf;

use burn_dataset::Dataset;

use crate::datasets::image_dataset::ImageDataset;
use crate::error::DataError;
use crate::formats::folder::config::FolderConfig;
use crate::images::cache::View;
use crate::images::image::LabelledImage;
use crate::images::image_files::ImageFiles;

/// A folder of images with one sub-folder per class, `DIR/<class>/<image>`. Images are decoded on access.
///
/// Classes, and the images of each class, are in alphabetical order (of code points, as in Python), so that indices and labels are the same
/// as those of torchvision's `ImageFolder` if the folders of the classes hold only images of these formats, with their usual extensions, and no
/// sub-folders. The formats are PNG, JPEG, WebP, PPM and PGM. Without a
/// [`Preprocessing`](crate::Preprocessing), all images must have the same size.
///
/// ```no_run
/// use twins_data::{FolderConfig, ImageDataset, NonImages};
///
/// # fn main() -> Result<(), twins_data::DataError> {
/// let pets = FolderConfig::new("pets").with_non_images(NonImages::Skip).open()?;
/// for path in pets.skipped() {
///     println!("skipped {}", path.display());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FolderDataset {
    pub(super) classes: Vec<String>,
    pub(super) folders: Vec<Option<PathBuf>>,
    // The label and the name of each image; full paths would take 100 MB for ImageNet.
    pub(super) files: Vec<(u32, OsString)>,
    pub(super) skipped: Vec<PathBuf>,
    pub(super) decoding: ImageFiles,
    pub(super) shape: [usize; 3],
}

impl FolderDataset {
    /// Opens a folder with the default configuration.
    ///
    /// # Errors
    /// The errors of [`FolderConfig::open`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, DataError> {
        FolderConfig::new(folder).open()
    }

    /// The file of a sample.
    ///
    /// # Panics
    /// If `index` is not below the number of samples.
    pub fn path(&self, index: usize) -> PathBuf {
        let (label, name) = &self.files[index];
        self.folders[*label as usize].as_ref().expect("a class with files has a folder").join(name)
    }
}

impl Dataset<LabelledImage, DataError> for FolderDataset {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        let image = self.decoding.of_shape(self.shape, index, || self.path(index))?;
        Ok(LabelledImage { image, label: self.files[index].0 as usize })
    }

    fn len(&self) -> usize {
        self.files.len()
    }
}

impl ImageDataset for FolderDataset {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        self.shape
    }

    fn original(&self, index: usize) -> Result<LabelledImage, DataError> {
        let image = self.decoding.image(index, View::Original, || self.path(index))?;
        Ok(LabelledImage { image, label: self.files[index].0 as usize })
    }

    fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    fn name(&self, index: usize) -> Option<String> {
        Some(self.files[index].1.to_string_lossy().into_owned())
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        Some(self.path(index))
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.files[index].0 as usize)
    }
}

use std::path::PathBuf;

use burn_dataset::Dataset;

use crate::datasets::image_dataset::ImageDataset;
use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::folder::config::FolderConfig;
use crate::formats::listed::layout::ListLayout;
use crate::formats::listed::listing::PartOfListing;
use crate::images::cache::View;
use crate::images::image::LabelledImage;
use crate::images::image_files::ImageFiles;

/// The images of one part of a data set that list files name. Images are decoded on access.
///
/// Images are in the order of the list, and classes in the order of their numbers or names. Every image of the part must exist, and no
/// image may be listed twice, in the same part or in different parts.
///
/// ```
/// use twins_data::{FolderConfig, ImageDataset, ListLayout, ListedDataset, Part};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// # for name in ["1.png", "2.png", "3.png"] {
/// #     image::RgbImage::new(4, 4).save(folder.join(name))?;
/// # }
/// let list = folder.join("split.tsv");
/// std::fs::write(&list, "1.png\tcat\ttrain\n2.png\tdog\ttrain\n3.png\tdog\ttest\n")?;
/// let test = ListedDataset::open(ListLayout::List, Part::Test, &FolderConfig::new(list))?;
/// assert_eq!(test.classes(), ["cat", "dog"]);
/// assert_eq!(test.labels()?, [1]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ListedDataset {
    root: PathBuf,
    classes: Vec<String>,
    images: Vec<(u32, Box<str>)>,
    files: ImageFiles,
    shape: [usize; 3],
}

impl ListedDataset {
    /// Reads the lists, and decodes the part's first image to get the shape of the images.
    ///
    /// `config.folder` is the folder of the archive, or the folder in which it was unpacked; for [`ListLayout::List`], it is the list
    /// itself. `channels`, `preprocessing` and `cache_bytes` have the same meaning as for folders. `non_images` and `classes` are not used,
    /// because the lists define the images and classes.
    ///
    /// # Errors
    /// [`DataError::List`] with file, line and remedy; a list that cannot be read; a part without images ([`DataError::MissingPart`]); and
    /// the errors of [`FolderConfig::open`] for the preprocessing and the first image.
    pub fn open(layout: ListLayout, part: Part, config: &FolderConfig) -> Result<Self, DataError> {
        config.preprocessing.validate()?;
        let PartOfListing { root, classes, images } = layout.read(&config.folder, part)?.into_part(part)?;
        let files = ImageFiles::new(config.channels, config.preprocessing, config.cache_bytes);
        let mut dataset = Self { root, classes, images, files, shape: [0; 3] };
        dataset.shape = dataset.files.image(0, View::Preprocessed, || dataset.path(0))?.shape;
        Ok(dataset)
    }

    /// The file of a sample.
    ///
    /// # Panics
    /// If `index` is not below the number of samples.
    pub fn path(&self, index: usize) -> PathBuf {
        self.root.join(&*self.images[index].1)
    }
}

impl Dataset<LabelledImage, DataError> for ListedDataset {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        let image = self.files.of_shape(self.shape, index, || self.path(index))?;
        Ok(LabelledImage { image, label: self.images[index].0 as usize })
    }

    fn len(&self) -> usize {
        self.images.len()
    }
}

impl ImageDataset for ListedDataset {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        self.shape
    }

    fn original(&self, index: usize) -> Result<LabelledImage, DataError> {
        let image = self.files.image(index, View::Original, || self.path(index))?;
        Ok(LabelledImage { image, label: self.images[index].0 as usize })
    }

    fn name(&self, index: usize) -> Option<String> {
        let path = &*self.images[index].1;
        Some(path.rsplit('/').next().unwrap_or(path).to_owned())
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        Some(self.path(index))
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.images[index].0 as usize)
    }
}

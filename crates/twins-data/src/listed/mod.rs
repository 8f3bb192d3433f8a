//! Data sets whose images, classes and parts are named by list files.

mod caltech256;
mod class_folders;
mod cub200;
mod dogs;
mod dtd;
mod fault;
mod gtsrb;
mod lines;
mod list_file;
mod listing;
mod pets;

use std::fmt;
use std::path::{Path, PathBuf};

use burn_dataset::Dataset;
use serde::{Deserialize, Serialize};

use crate::cache::View;
use crate::image_files::ImageFiles;
use crate::{DataError, FolderConfig, ImageDataset, LabelledImage, Part};
pub use fault::ListFault;
use listing::{Listing, PartOfListing};

/// In which files an archive says which images it has, of which class and in which part.
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
    /// The layout that the command line calls so: `list`, `caltech256`, `cub200`, `dogs`, `dtd` (split 1), `dtd@N`, `gtsrb` or
    /// `pets`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "list" => Self::List,
            "caltech256" => Self::Caltech256,
            "cub200" => Self::Cub200,
            "dogs" => Self::Dogs,
            "dtd" => Self::Dtd { split: 1 },
            "gtsrb" => Self::Gtsrb,
            "pets" => Self::Pets,
            _ => {
                let split = name.strip_prefix("dtd@")?.parse().ok()?;
                (1..=10).contains(&split).then_some(Self::Dtd { split })?
            }
        })
    }

    /// Whether there is a validation part. A custom list has one if its lines say so.
    pub(crate) fn has_validation(self, path: &Path) -> bool {
        match self {
            // What is wrong with the list is reported where it is opened.
            Self::List => list_file::read(path).is_ok_and(|listing| listing.has(Part::Validation)),
            Self::Dtd { .. } => true,
            _ => false,
        }
    }

    fn read(self, path: &Path, part: Part) -> Result<Listing, DataError> {
        match self {
            Self::List => list_file::read(path),
            Self::Caltech256 => caltech256::read(path),
            Self::Cub200 => cub200::read(path),
            Self::Dogs => dogs::read(path),
            Self::Dtd { split } => dtd::read(path, split),
            Self::Gtsrb => gtsrb::read(path, part),
            Self::Pets => pets::read(path),
        }
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

/// The images of one part that list files name, decoded when they are asked for.
///
/// Images are in the order of the list, and classes in the order of their numbers or names. Every image of the part must exist, and
/// none may be listed twice, in one part or in two.
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
    /// Reads the lists, and decodes the part's first image for the shape.
    ///
    /// `config.folder` is the folder of the archive, or the one that it was unpacked in; of [`ListLayout::List`], the list itself.
    /// `channels`, `framing` and `cache_bytes` are as for folders. Lists say which images and classes there are, so that
    /// `non_images` and `classes` are not used.
    ///
    /// # Errors
    /// [`DataError::List`] with file, line and remedy; a list that cannot be read; a part without images
    /// ([`DataError::MissingPart`]); what [`FolderConfig::open`] reports about a framing and a first image.
    pub fn open(layout: ListLayout, part: Part, config: &FolderConfig) -> Result<Self, DataError> {
        config.framing.validate()?;
        let PartOfListing { root, classes, images } = layout.read(&config.folder, part)?.into_part(part)?;
        let files = ImageFiles::new(config.channels, config.framing, config.cache_bytes);
        let mut dataset = Self { root, classes, images, files, shape: [0; 3] };
        dataset.shape = dataset.files.image(0, View::Framed, || dataset.path(0))?.shape;
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

    fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.images[index].0 as usize)
    }
}

/// The folder that has `marker`: the one given, or one of `names` in it, as archives are unpacked.
fn nested(folder: &Path, names: &[&str], marker: &str) -> PathBuf {
    let places = names.iter().map(|name| folder.join(name));
    let found = std::iter::once(folder.to_path_buf()).chain(places).find(|place| place.join(marker).exists());
    found.unwrap_or_else(|| folder.to_path_buf())
}

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use burn_dataset::Dataset;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::cache::View;
use crate::decode::{SIGNATURE_SIZE, format};
use crate::file::io_error;
use crate::image_files::ImageFiles;
use crate::{Channels, DataError, Framing, ImageDataset, LabelledImage};

/// What to do about files in a class folder that are no images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NonImages {
    /// They are an error: by name when the folder is opened, by content when the file is decoded.
    Refuse,
    /// They are left out and listed in [`ImageDataset::skipped`]. Every file's beginning is read for it.
    Skip,
}

/// Configuration of [`FolderDataset`].
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `channels` | [`Channels::Rgb`] | what every image is converted to |
/// | `non_images` | [`NonImages::Refuse`] | what to do about other files |
/// | `framing` | [`Framing::AsStored`] | how images are brought to one size |
/// | `cache_bytes` | 512 MiB | how much of the decoded images is kept in memory |
/// | `classes` | the sub-folders, by name | which label each class has |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderConfig {
    /// The folder that has one sub-folder per class.
    pub folder: PathBuf,
    /// What every image is converted to.
    pub channels: Channels,
    /// What to do about files that are no images.
    pub non_images: NonImages,
    /// How images are brought to one size.
    pub framing: Framing,
    /// How many bytes of decoded images are kept in memory; 0 keeps none.
    pub cache_bytes: usize,
    /// The classes in the order of their labels; `None` stands for the sub-folders in alphabetical order.
    pub classes: Option<Vec<String>>,
}

impl FolderConfig {
    /// The default configuration for a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            channels: Channels::Rgb,
            non_images: NonImages::Refuse,
            framing: Framing::AsStored,
            cache_bytes: 512 << 20,
            classes: None,
        }
    }

    /// Sets the channels that every image is converted to.
    pub fn with_channels(mut self, channels: Channels) -> Self {
        self.channels = channels;
        self
    }

    /// Sets what to do about files that are no images.
    pub fn with_non_images(mut self, non_images: NonImages) -> Self {
        self.non_images = non_images;
        self
    }

    /// Sets how images are brought to one size.
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Sets how many bytes of decoded images are kept in memory; 0 keeps none.
    ///
    /// What is decoded first is kept, and nothing is evicted for what comes later.
    pub fn with_cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets the classes in the order of their labels, for instance those a model was trained with.
    ///
    /// A class without a sub-folder has no samples; a sub-folder that is not listed is an error.
    pub fn with_classes(mut self, classes: Vec<String>) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Lists the folder and decodes its first image, for the shape.
    ///
    /// # Errors
    /// A framing that cannot be, a folder without classes, classes without images or with the same name, sub-folders that are not in the
    /// list of classes, files that are no images unless they are skipped, and whatever the first image has.
    pub fn open(&self) -> Result<FolderDataset, DataError> {
        self.framing.validate()?;
        let (subfolders, found) = self.subfolders()?;
        let classes = self.classes.clone().unwrap_or_else(|| found.clone());
        refuse_duplicates(&classes)?;

        let mut folders = vec![None; classes.len()];
        for (subfolder, name) in subfolders.iter().zip(&found) {
            let path = self.folder.join(subfolder);
            match classes.iter().position(|class| class.trim() == name) {
                Some(label) => folders[label] = Some(path),
                None => return Err(DataError::UnknownClass { path, classes }),
            }
        }

        let listed: Vec<ClassFiles> =
            folders.par_iter().map(|folder| self.list_class(folder.as_deref())).collect::<Result<_, _>>()?;
        let mut dataset = FolderDataset {
            classes,
            folders,
            files: Vec::with_capacity(listed.iter().map(|class| class.images.len()).sum()),
            skipped: Vec::new(),
            decoding: ImageFiles::new(self.channels, self.framing, self.cache_bytes),
            shape: [0; 3],
        };
        for (label, class) in listed.into_iter().enumerate() {
            dataset.files.extend(class.images.into_iter().map(|name| (label as u32, name)));
            dataset.skipped.extend(class.skipped);
        }
        dataset.shape = dataset.decoding.image(0, View::Framed, || dataset.path(0))?.shape;
        Ok(dataset)
    }

    /// The names of the classes that the folder has, in alphabetical order.
    ///
    /// # Errors
    /// A folder without sub-folders, or with two of the same name.
    pub fn class_names(&self) -> Result<Vec<String>, DataError> {
        Ok(self.subfolders()?.1)
    }

    fn subfolders(&self) -> Result<(Vec<OsString>, Vec<String>), DataError> {
        let (subfolders, _) = list(&self.folder)?;
        if subfolders.is_empty() {
            return Err(DataError::NoClasses { path: self.folder.clone() });
        }
        let names: Vec<String> =
            subfolders.iter().map(|name| name.to_string_lossy().trim().to_owned()).collect();
        refuse_duplicates(&names)?;
        Ok((subfolders, names))
    }

    /// The images of one class, in alphabetical order.
    fn list_class(&self, folder: Option<&Path>) -> Result<ClassFiles, DataError> {
        let Some(folder) = folder else {
            return Ok(ClassFiles::default());
        };
        let (subfolders, files) = list(folder)?;
        let mut class = ClassFiles::default();
        for name in subfolders {
            let path = folder.join(name);
            match self.non_images {
                NonImages::Refuse => return Err(DataError::NotAnImage { path }),
                NonImages::Skip => class.skipped.push(path),
            }
        }
        for name in files {
            let path = folder.join(&name);
            match self.non_images {
                NonImages::Refuse if has_image_extension(&path) => class.images.push(name),
                NonImages::Refuse => return Err(DataError::NotAnImage { path }),
                NonImages::Skip if has_image_signature(&path)? => class.images.push(name),
                NonImages::Skip => class.skipped.push(path),
            }
        }
        if class.images.is_empty() {
            return Err(DataError::EmptyClass { path: folder.to_path_buf() });
        }
        Ok(class)
    }
}

#[derive(Default)]
struct ClassFiles {
    images: Vec<OsString>,
    skipped: Vec<PathBuf>,
}

/// A folder of images with one sub-folder per class, `DIR/<class>/<image>`, decoded when they are asked for.
///
/// Classes and the images of a class are in alphabetical order (of code points, as in Python), so that indices
/// and labels are those of torchvision's `ImageFolder`. PNG, JPEG, WebP, PPM and PGM are read. Without a [`Framing`],
/// all images must have one size.
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
    classes: Vec<String>,
    folders: Vec<Option<PathBuf>>,
    // A label and a name each, because a full path each would be 100 MB for ImageNet.
    files: Vec<(u32, OsString)>,
    skipped: Vec<PathBuf>,
    decoding: ImageFiles,
    shape: [usize; 3],
}

impl FolderDataset {
    /// Opens a folder with the default configuration.
    ///
    /// # Errors
    /// As [`FolderConfig::open`].
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

    fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.files[index].0 as usize)
    }
}

/// The names of the sub-folders and of the files in a folder, each in alphabetical order.
pub(crate) fn list(folder: &Path) -> Result<(Vec<OsString>, Vec<OsString>), DataError> {
    let (mut subfolders, mut files) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(io_error(folder))? {
        let entry = entry.map_err(io_error(folder))?;
        // Follows symbolic links, which people use to make subsets.
        let kind = std::fs::metadata(entry.path()).map_err(io_error(&entry.path()))?;
        if kind.is_dir() { subfolders.push(entry.file_name()) } else { files.push(entry.file_name()) }
    }
    subfolders.sort_unstable();
    files.sort_unstable();
    Ok((subfolders, files))
}

pub(crate) fn refuse_duplicates(names: &[String]) -> Result<(), DataError> {
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.trim())) {
        None => Ok(()),
        Some(name) => Err(DataError::DuplicateClass { name: name.clone() }),
    }
}

fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension
        .is_some_and(|extension| ["png", "jpg", "jpeg", "webp", "ppm", "pgm"].contains(&extension.as_str()))
}

fn has_image_signature(path: &Path) -> Result<bool, DataError> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(io_error(path))?;
    file.take(SIGNATURE_SIZE as u64).read_to_end(&mut start).map_err(io_error(path))?;
    Ok(format(&start).is_some())
}

#[cfg(test)]
mod tests {
    use ::image::{Rgb, RgbImage};

    use super::*;

    /// Writes PNG files of one colour; the value is width and red.
    fn folder(files: &[(&str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, width) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_pixel(*width, 4, Rgb([*width as u8, 0, 0])).save(path).unwrap();
        }
        folder
    }

    #[test]
    fn orders_classes_and_files_by_name() {
        let folder = folder(&[("b/2.png", 4), ("b/10.PNG", 4), ("a/1.png", 4), ("C/1.png", 4)]);
        let dataset = FolderDataset::open(folder.path()).unwrap();
        assert_eq!(dataset.classes(), ["C", "a", "b"]);
        assert_eq!(dataset.labels().unwrap(), [0, 1, 2, 2]);
        assert!(dataset.path(2).ends_with("b/10.PNG"));
        assert_eq!(dataset.image_shape(), [3, 4, 4]);
        assert_eq!(dataset.get(3).unwrap().image.pixels[0], 4);
    }

    #[test]
    fn follows_a_list_of_classes() {
        let folder = folder(&[("a/1.png", 4), ("b/1.png", 4)]);
        let classes = ["b", "none", "a"].map(str::to_owned).to_vec();
        let config = FolderConfig::new(folder.path());
        let dataset = config.clone().with_classes(classes).open().unwrap();
        assert_eq!(dataset.labels().unwrap(), [0, 2]);
        assert!(dataset.path(0).ends_with("b/1.png"));

        let error = config.clone().with_classes(vec!["a".to_owned()]).open().unwrap_err();
        assert!(matches!(&error, DataError::UnknownClass { path, .. } if path.ends_with("b")), "{error}");
        let error = config.with_classes(["a", "b", "a"].map(str::to_owned).to_vec()).open().unwrap_err();
        assert!(matches!(&error, DataError::DuplicateClass { name } if name == "a"), "{error}");
    }

    #[test]
    fn names_the_image_of_another_size() {
        let folder = folder(&[("a/1.png", 4), ("a/2.png", 5)]);
        let error = FolderDataset::open(folder.path()).unwrap().get(1).unwrap_err();
        assert!(matches!(error, DataError::MixedSizes { found: [3, 4, 5], expected: [3, 4, 4], .. }));
        assert!(error.to_string().contains("2.png is 5 x 4 pixels"), "{error}");
    }

    #[test]
    fn a_framing_brings_all_to_one_size() {
        let folder = folder(&[("a/1.png", 4), ("a/2.png", 9)]);
        let framing = Framing::ResizeCrop { resize: 8, crop: 6 };
        let config = FolderConfig::new(folder.path()).with_framing(framing);
        for cache_bytes in [0, 1 << 20] {
            let dataset = config.clone().with_cache_bytes(cache_bytes).open().unwrap();
            assert_eq!(dataset.image_shape(), [3, 6, 6]);
            for _ in 0..2 {
                assert_eq!(dataset.get(1).unwrap().image.pixels[..36], [9; 36]);
                assert_eq!(dataset.original(1).unwrap().image.shape, [3, 4, 9]);
            }
        }
        let framing = Framing::ResizeCrop { resize: 4, crop: 6 };
        let error = config.with_framing(framing).open().unwrap_err();
        assert!(matches!(error, DataError::InvalidSetting { .. }), "{error}");
    }

    #[test]
    fn refuses_or_skips_what_is_no_image() {
        let folder = folder(&[("a/1.png", 4), ("a/2.png", 4)]);
        std::fs::write(folder.path().join("a/notes.txt"), "text").unwrap();
        let error = FolderDataset::open(folder.path()).unwrap_err();
        assert!(matches!(&error, DataError::NotAnImage { path } if path.ends_with("notes.txt")), "{error}");

        std::fs::write(folder.path().join("a/1.png"), "text").unwrap();
        let dataset = FolderConfig::new(folder.path()).with_non_images(NonImages::Skip).open().unwrap();
        assert_eq!(dataset.len(), 1);
        let skipped = ["a/1.png", "a/notes.txt"].map(|name| folder.path().join(name));
        assert_eq!(dataset.skipped(), skipped);
    }

    #[test]
    fn ppm_and_pgm_are_images() {
        let folder = folder(&[("a/1.png", 4)]);
        std::fs::write(folder.path().join("a/2.ppm"), [&b"P6 4 4 255\n"[..], &[5; 48]].concat()).unwrap();
        std::fs::write(folder.path().join("a/3.PGM"), [&b"P5 4 4 255\n"[..], &[6; 16]].concat()).unwrap();
        for non_images in [NonImages::Refuse, NonImages::Skip] {
            let dataset = FolderConfig::new(folder.path()).with_non_images(non_images).open().unwrap();
            let first = |index| dataset.get(index).unwrap().image.pixels[47];
            assert_eq!([dataset.len(), first(1).into(), first(2).into()], [3, 5, 6]);
        }
    }

    #[test]
    fn names_an_image_that_is_none() {
        let folder = folder(&[("a/1.png", 4), ("a/2.png", 4)]);
        std::fs::write(folder.path().join("a/2.png"), "text").unwrap();
        let error = FolderDataset::open(folder.path()).unwrap().get(1).unwrap_err();
        assert!(matches!(&error, DataError::NotAnImage { path } if path.ends_with("a/2.png")), "{error}");
    }

    #[test]
    fn refuses_empty_folders() {
        let folder = folder(&[("a/1.png", 4)]);
        assert!(matches!(FolderDataset::open(folder.path().join("a")), Err(DataError::NoClasses { .. })));
        assert!(matches!(FolderDataset::open(folder.path().join("none")), Err(DataError::Io { .. })));
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let error = FolderDataset::open(folder.path()).unwrap_err();
        assert!(matches!(&error, DataError::EmptyClass { path } if path.ends_with("b")), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn refuses_classes_of_one_name() {
        let folder = folder(&[("cat/1.png", 4), ("cat /1.png", 4)]);
        let error = FolderDataset::open(folder.path()).unwrap_err();
        assert!(matches!(&error, DataError::DuplicateClass { name } if name == "cat"), "{error}");
    }
}

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::datasets::class_names::refuse_duplicates;
use crate::error::DataError;
use crate::formats::folder::dataset::FolderDataset;
use crate::formats::folder::listing::{has_image_extension, has_image_signature, list};
use crate::images::cache::View;
use crate::images::decode::Channels;
use crate::images::image_files::ImageFiles;
use crate::images::preprocessing::Preprocessing;

/// How files in a class folder that are not images are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NonImages {
    /// They are errors. The file name is checked when the folder is opened, and the content when the file is decoded.
    Refuse,
    /// They are skipped and listed in [`ImageDataset::skipped`](crate::ImageDataset::skipped). Opening the folder reads the beginning of
    /// every file.
    Skip,
}

/// Configuration of [`FolderDataset`].
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `channels` | [`Channels::Rgb`] | channels to which every image is converted |
/// | `non_images` | [`NonImages::Refuse`] | how other files are handled |
/// | `preprocessing` | [`Preprocessing::AsStored`] | preprocessing (resize and crop) |
/// | `cache_bytes` | 512 MiB | memory for decoded images |
/// | `classes` | the sub-folders, by name | the classes, in the order of their labels |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderConfig {
    /// The folder with one sub-folder per class.
    pub folder: PathBuf,
    /// The channels to which every image is converted.
    pub channels: Channels,
    /// How files that are not images are handled.
    pub non_images: NonImages,
    /// The preprocessing of images (resize and crop).
    pub preprocessing: Preprocessing,
    /// How many bytes of decoded images are kept in memory; 0 keeps none.
    pub cache_bytes: usize,
    /// The classes in the order of their labels; with `None`, the sub-folders in alphabetical order.
    pub classes: Option<Vec<String>>,
}

impl FolderConfig {
    /// The default configuration for a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            channels: Channels::Rgb,
            non_images: NonImages::Refuse,
            preprocessing: Preprocessing::AsStored,
            cache_bytes: 512 << 20,
            classes: None,
        }
    }

    /// Sets the channels that every image is converted to.
    pub fn with_channels(mut self, channels: Channels) -> Self {
        self.channels = channels;
        self
    }

    /// Sets how files that are not images are handled.
    pub fn with_non_images(mut self, non_images: NonImages) -> Self {
        self.non_images = non_images;
        self
    }

    /// Sets the preprocessing of images (resize and crop).
    pub fn with_preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.preprocessing = preprocessing;
        self
    }

    /// Sets how many bytes of decoded images are kept in memory; 0 keeps none.
    ///
    /// The images that are decoded first are kept, and none is evicted for later images.
    pub fn with_cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets the classes in the order of their labels, for instance the classes that a model was trained on.
    ///
    /// A class without a sub-folder has no samples; a sub-folder that is not listed is an error.
    pub fn with_classes(mut self, classes: Vec<String>) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Lists the folder, and decodes its first image to get the shape of the images.
    ///
    /// # Errors
    /// An invalid preprocessing, a folder without classes, classes without images or with the same name, sub-folders that are not in the
    /// list of classes, files that are not images (unless they are skipped), and errors of decoding the first image.
    pub fn open(&self) -> Result<FolderDataset, DataError> {
        self.preprocessing.validate()?;
        let (subfolders, found) = self.subfolders()?;
        let classes = self.classes.clone().unwrap_or_else(|| found.clone());
        refuse_duplicates(&classes, None)?;

        let mut folders = vec![None; classes.len()];
        let labels: HashMap<&str, usize> =
            classes.iter().enumerate().map(|(label, class)| (class.trim(), label)).collect();
        for (subfolder, name) in subfolders.iter().zip(&found) {
            let path = self.folder.join(subfolder);
            match labels.get(name.as_str()) {
                Some(label) => folders[*label] = Some(path),
                None => return Err(DataError::UnknownClass { path, classes: classes.clone() }),
            }
        }
        drop(labels);

        let listed: Vec<ClassFiles> =
            folders.par_iter().map(|folder| self.list_class(folder.as_deref())).collect::<Result<_, _>>()?;
        let mut dataset = FolderDataset {
            classes,
            folders,
            files: Vec::with_capacity(listed.iter().map(|class| class.images.len()).sum()),
            skipped: Vec::new(),
            decoding: ImageFiles::new(self.channels, self.preprocessing, self.cache_bytes),
            shape: [0; 3],
        };
        for (label, class) in listed.into_iter().enumerate() {
            dataset.files.extend(class.images.into_iter().map(|name| (label as u32, name)));
            dataset.skipped.extend(class.skipped);
        }
        dataset.shape = dataset.decoding.image(0, View::Preprocessed, || dataset.path(0))?.shape;
        Ok(dataset)
    }

    /// The names of the folder's classes, in alphabetical order.
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
        refuse_duplicates(&names, Some(&self.folder))?;
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

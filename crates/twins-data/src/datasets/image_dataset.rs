use std::path::PathBuf;
use std::sync::Arc;

use burn_dataset::Dataset;

use crate::error::DataError;
use crate::images::image::LabelledImage;

/// A data set of labelled images that all have the same shape.
///
/// A custom data set implements [`Dataset`] and this trait. It wraps its own errors in [`DataError::custom`]; the caller of a training or
/// an evaluation gets them as the source of that error. For images that are already in memory, use [`TensorDataset`](crate::TensorDataset)
/// instead.
///
/// ```
/// use std::error::Error;
/// use twins_data::{DataError, Dataset, Image, ImageDataset, LabelledImage, collate};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("scan {0} has not been made yet")]
/// struct NotScanned(usize);
///
/// struct Scans {
///     classes: Vec<String>,
/// }
///
/// impl Dataset<LabelledImage, DataError> for Scans {
///     fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
///         if index == 1 {
///             return Err(DataError::custom(NotScanned(index)));
///         }
///         let image = Image { shape: [1, 2, 2], pixels: vec![0, 85, 170, 255] };
///         Ok(LabelledImage { image, label: index % 2 })
///     }
///
///     fn len(&self) -> usize {
///         3
///     }
/// }
///
/// impl ImageDataset for Scans {
///     fn classes(&self) -> &[String] {
///         &self.classes
///     }
///
///     fn image_shape(&self) -> [usize; 3] {
///         [1, 2, 2]
///     }
/// }
///
/// let scans = Scans { classes: vec!["healthy".to_owned(), "ill".to_owned()] };
/// let error = collate(&scans, &[0, 1], None, &burn::tensor::Device::flex()).unwrap_err();
/// assert!(error.source().unwrap().is::<NotScanned>());
/// ```
///
/// The trait is object safe: programs hold an `Arc<dyn ImageDataset>`, because the command line selects the reader.
pub trait ImageDataset: Dataset<LabelledImage, DataError> {
    /// The names of the classes, in the order of the labels.
    fn classes(&self) -> &[String];

    /// The shape of every image, `[channels, height, width]`.
    fn image_shape(&self) -> [usize; 3];

    /// Returns a sample as it is stored, before it is resized to [`image_shape`](Self::image_shape). An augmentation crops its own part
    /// from it.
    ///
    /// The default is [`Dataset::get`], for data sets that are stored in one size.
    ///
    /// # Errors
    /// The same as [`Dataset::get`].
    ///
    /// # Panics
    /// If `index` is not below the number of samples.
    fn original(&self, index: usize) -> Result<LabelledImage, DataError> {
        self.get(index)
    }

    /// Files that were skipped because they are not images; only a folder opened with [`NonImages::Skip`](crate::NonImages::Skip) has any.
    fn skipped(&self) -> &[PathBuf] {
        &[]
    }

    /// The index of a sample in the data set from which this one was chosen; reports identify samples by it.
    ///
    /// The default is `index`, for data sets that were not chosen from another one.
    fn source_index(&self, index: usize) -> usize {
        index
    }

    /// The name of a sample's file with its extension, without folders. [`Grouping`](crate::Grouping) forms groups from it.
    ///
    /// The default is `None`, for data sets that do not store each sample in its own file.
    ///
    /// # Panics
    /// If `index` is not below the number of samples; the default implementation does not panic.
    fn name(&self, index: usize) -> Option<String> {
        let _ = index;
        None
    }

    /// The file of a sample. A training records the names and sizes of these files, so that it is not resumed with other images.
    ///
    /// The default is `None`, for data sets that do not store each sample in its own file.
    ///
    /// # Panics
    /// If `index` is not below the number of samples; the default implementation does not panic.
    fn file(&self, index: usize) -> Option<PathBuf> {
        let _ = index;
        None
    }

    /// The label of a sample.
    ///
    /// The default implementation decodes the image; readers that store their labels do not.
    ///
    /// # Errors
    /// The same as [`Dataset::get`].
    ///
    /// # Panics
    /// If `index` is not below the number of samples.
    fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.get(index)?.label)
    }

    /// The labels of all samples, for instance for a stratified [`split`](crate::split()).
    ///
    /// # Errors
    /// The same as [`Dataset::get`].
    fn labels(&self) -> Result<Vec<usize>, DataError> {
        (0..self.len()).map(|index| self.label(index)).collect()
    }
}

impl Dataset<LabelledImage, DataError> for Arc<dyn ImageDataset> {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        self.as_ref().get(index)
    }

    fn len(&self) -> usize {
        self.as_ref().len()
    }
}

impl ImageDataset for Arc<dyn ImageDataset> {
    fn classes(&self) -> &[String] {
        self.as_ref().classes()
    }

    fn image_shape(&self) -> [usize; 3] {
        self.as_ref().image_shape()
    }

    fn original(&self, index: usize) -> Result<LabelledImage, DataError> {
        self.as_ref().original(index)
    }

    fn skipped(&self) -> &[PathBuf] {
        self.as_ref().skipped()
    }

    fn source_index(&self, index: usize) -> usize {
        self.as_ref().source_index(index)
    }

    fn name(&self, index: usize) -> Option<String> {
        self.as_ref().name(index)
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        self.as_ref().file(index)
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        self.as_ref().label(index)
    }

    fn labels(&self) -> Result<Vec<usize>, DataError> {
        self.as_ref().labels()
    }
}

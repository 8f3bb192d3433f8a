use twins_data::{ImageDataset, Split};

use super::train_config::ValidationConfig;
use crate::error::TrainError;

impl ValidationConfig {
    /// Splits a data set into the images for training and for validation; `None` if no images are held out.
    ///
    /// `labels` are the labels of the data set ([`ImageDataset::labels`]). The fraction that is actually held out is
    /// `validation.len() / labels.len()`. With [`groups`](Self::groups) it is usually larger than `fraction`, because every class
    /// holds out whole groups.
    ///
    /// ```
    /// use twins_data::{BuiltinDataset, ImageDataset, Part, Task};
    /// use twins_train::ValidationConfig;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let data = BuiltinDataset::new(Task::Target, Part::Train, 200, 0);
    /// let split = ValidationConfig::default().split(&data, &data.labels()?)?.expect("a tenth is held out");
    /// assert_eq!((split.train.len(), split.validation.len()), (180, 20));
    /// assert_eq!(ValidationConfig::none().split(&data, &data.labels()?)?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TrainError::EmptyValidation`] for a split without validation images, and the errors of
    /// [`Grouping::split`](twins_data::Grouping::split).
    ///
    /// # Panics
    ///
    /// If `groups` is set and the number of labels is not that of the samples.
    pub fn split(&self, dataset: &dyn ImageDataset, labels: &[usize]) -> Result<Option<Split>, TrainError> {
        let Some(fraction) = self.fraction else { return Ok(None) };
        let empty = TrainError::EmptyValidation { fraction, images: labels.len() };
        if labels.len() < 2 {
            return Err(empty);
        }
        let split = self.groups.split(dataset, labels, fraction, self.seed)?;
        if split.validation.is_empty() { Err(empty) } else { Ok(Some(split)) }
    }
}

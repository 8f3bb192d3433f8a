use twins_data::{ImageDataset, Split};

use super::train_config::ValidationConfig;
use crate::error::TrainError;

impl ValidationConfig {
    /// The images that a training on a data set trains and validates on; `None` where no images are held out.
    ///
    /// `labels` are those of the data set ([`ImageDataset::labels`]). The share that is really held out is
    /// `validation.len() / labels.len()`: with [`groups`](Self::groups) it is larger than `fraction` as a rule, because every class
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
    /// A split without validation images; what is wrong with the groups ([`Grouping::split`](twins_data::Grouping::split)).
    ///
    /// # Panics
    ///
    /// If there are groups and not as many labels as samples.
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

use burn::tensor::Device;
use twins_attack::Samples;
use twins_data::{ImageDataset, Limit, collate};

use crate::error::ReportError;

/// Loads `count` images of a data set as samples for attacks, stratified by class ([`Limit::Stratified`]); all images if
/// the data set has fewer.
///
/// # Errors
///
/// [`ReportError::NoImages`] if `count` is 0, and [`ReportError::Data`] if the images cannot be read.
pub fn stratified_samples(
    dataset: &dyn ImageDataset,
    count: usize,
    device: &Device,
) -> Result<Samples, ReportError> {
    if count == 0 {
        return Err(ReportError::NoImages);
    }
    let ids = Limit::Stratified(count).indices(&dataset.labels()?);
    let batch = collate(dataset, &ids, None, device)?;
    Ok(Samples::new(batch.images, batch.labels)?.with_ids(batch.ids)?)
}

#[cfg(test)]
mod tests {
    use twins_data::{BuiltinDataset, Part, Task};

    use super::*;

    #[test]
    fn samples_are_of_every_class() {
        // The labels repeat every ten samples: every tenth sample would be of one class.
        let data = BuiltinDataset::new(Task::Target, Part::Test, 100, 0);
        let samples = stratified_samples(&data, 10, &Device::flex()).unwrap();
        let mut classes = samples.labels().to_vec();
        classes.sort_unstable();
        assert_eq!(classes, (0..10).collect::<Vec<_>>());
        assert_eq!(stratified_samples(&data, 1000, &Device::flex()).unwrap().len(), 100);
        assert!(stratified_samples(&data, 0, &Device::flex()).is_err());
    }
}

use burn::tensor::Device;
use twins_attack::Samples;
use twins_data::{ImageDataset, Limit, collate};

use crate::error::ReportError;

/// Loads `count` images of a data set as samples for attacks, stratified by class ([`Limit::Stratified`]); all images if
/// the data set has fewer. They have the numbers of [`ImageDataset::source_index`], as in the reports of `twins evaluate`.
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
    let source_ids = ids.iter().map(|index| dataset.source_index(*index) as u64).collect();
    Ok(Samples::new(batch.images, batch.labels)?.with_ids(source_ids)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twins_data::{BuiltinDataset, Part, Subset, Task};

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

    #[test]
    fn samples_of_a_subset_have_their_numbers_in_the_whole() {
        let data = Arc::new(BuiltinDataset::new(Task::Target, Part::Test, 100, 0));
        let subset = Subset::new(data, vec![70, 30, 50]).unwrap();
        let samples = stratified_samples(&subset, 3, &Device::flex()).unwrap();
        let mut ids = samples.ids().to_vec();
        ids.sort_unstable();
        assert_eq!(ids, [30, 50, 70]);
    }
}

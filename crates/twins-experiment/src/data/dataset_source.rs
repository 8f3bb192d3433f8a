use std::sync::Arc;

use twins_attack::{SampleSource, SourceError};
use twins_data::{DataError, ImageDataset};

/// A data set as the source of an evaluation's samples. Images are read when an attack needs them.
///
/// ```
/// use std::sync::Arc;
/// use burn::tensor::Device;
/// use twins_experiment::DatasetSource;
/// use twins_attack::{SampleSource, SampleStream};
/// use twins_data::{BuiltinDataset, Part, Task};
///
/// let digits = BuiltinDataset::new(Task::Target, Part::Test, 20, 0);
/// let source = DatasetSource::new(Arc::new(digits))?;
/// assert_eq!(source.load(3)?.len(), 3 * 32 * 32);
/// let samples = SampleStream::new(&source, &Device::flex())?.with_batch_size(10)?;
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub struct DatasetSource {
    dataset: Arc<dyn ImageDataset>,
    labels: Vec<usize>,
}

impl DatasetSource {
    /// Reads the labels.
    ///
    /// # Errors
    /// The errors of the data set.
    pub fn new(dataset: Arc<dyn ImageDataset>) -> Result<Self, DataError> {
        Ok(Self { labels: dataset.labels()?, dataset })
    }
}

impl SampleSource for DatasetSource {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image_shape(&self) -> [usize; 3] {
        self.dataset.image_shape()
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index]
    }

    fn id(&self, index: usize) -> u64 {
        self.dataset.source_index(index) as u64
    }

    fn load(&self, index: usize) -> Result<Vec<f32>, SourceError> {
        let image = self.dataset.get(index)?.image;
        let expected = self.image_shape();
        if image.shape != expected || image.pixels.len() != expected.iter().product::<usize>() {
            let (found, pixels) = (image.shape, image.pixels.len());
            return Err(DataError::WrongShape { index, found, pixels, expected }.into());
        }
        // The same division as in `collate`.
        Ok(image.pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use twins_data::{BuiltinDataset, Part, Task, collate};

    use super::*;

    #[test]
    fn images_are_those_of_a_batch() {
        let data = BuiltinDataset::new(Task::Target, Part::Test, 12, 0);
        let ids: Vec<usize> = (0..12).collect();
        let batch = collate(&data, &ids, None, &Device::flex()).unwrap();
        let source = DatasetSource::new(Arc::new(data)).unwrap();
        let labels: Vec<usize> = ids.iter().map(|&index| source.label(index)).collect();
        assert_eq!(labels, batch.labels);
        let images: Vec<f32> = ids.iter().flat_map(|&index| source.load(index).unwrap()).collect();
        assert_eq!(batch.images.into_data().try_to_vec::<f32>().unwrap(), images);
    }
}

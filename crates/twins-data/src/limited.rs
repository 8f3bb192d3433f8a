use std::sync::Arc;

use burn_dataset::Dataset;

use crate::{DataError, ImageDataset, LabelledImage};

/// The first samples of a data set.
#[derive(Clone)]
pub struct Limited {
    dataset: Arc<dyn ImageDataset>,
    len: usize,
}

impl Limited {
    /// The first `limit` samples, or all if there are fewer.
    ///
    /// # Errors
    /// [`DataError::NoSamples`] if `limit` is 0.
    pub fn new(dataset: Arc<dyn ImageDataset>, limit: usize) -> Result<Self, DataError> {
        if limit == 0 {
            return Err(DataError::NoSamples { what: "a limited data set" });
        }
        let len = dataset.len().min(limit);
        Ok(Self { dataset, len })
    }
}

impl Dataset<LabelledImage, DataError> for Limited {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        assert!(index < self.len, "sample {index} of {}", self.len);
        self.dataset.get(index)
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl ImageDataset for Limited {
    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn image_shape(&self) -> [usize; 3] {
        self.dataset.image_shape()
    }

    fn original(&self, index: usize) -> Result<LabelledImage, DataError> {
        assert!(index < self.len, "sample {index} of {}", self.len);
        self.dataset.original(index)
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        assert!(index < self.len, "sample {index} of {}", self.len);
        self.dataset.label(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BuiltinDataset, Part, Task};

    #[test]
    fn is_a_prefix() {
        let all: Arc<dyn ImageDataset> = Arc::new(BuiltinDataset::new(Task::Target, Part::Train, 5, 0));
        let limited = Limited::new(all.clone(), 3).unwrap();
        assert_eq!(limited.len(), 3);
        assert_eq!(limited.get(2).unwrap(), all.get(2).unwrap());
        assert_eq!(Limited::new(all.clone(), 9).unwrap().len(), 5);
        assert!(matches!(Limited::new(all, 0), Err(DataError::NoSamples { .. })));
    }
}

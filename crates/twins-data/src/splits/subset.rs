use std::path::PathBuf;
use std::sync::Arc;

use burn_dataset::Dataset;

use crate::datasets::image_dataset::ImageDataset;
use crate::error::DataError;
use crate::images::image::LabelledImage;

/// A selection of samples of a data set, in the given order.
#[derive(Clone)]
pub struct Subset {
    dataset: Arc<dyn ImageDataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// Creates a subset of the samples at `indices`.
    ///
    /// # Errors
    /// [`DataError::NoSamples`] if `indices` is empty, [`DataError::IndexOutOfRange`] if an index does not exist.
    pub fn new(dataset: Arc<dyn ImageDataset>, indices: Vec<usize>) -> Result<Self, DataError> {
        if indices.is_empty() {
            return Err(DataError::NoSamples { what: "a subset" });
        }
        let len = dataset.len();
        if let Some(&index) = indices.iter().find(|&&index| index >= len) {
            return Err(DataError::IndexOutOfRange { index, len });
        }
        Ok(Self { dataset, indices })
    }
}

impl Dataset<LabelledImage, DataError> for Subset {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        self.dataset.get(self.indices[index])
    }

    fn len(&self) -> usize {
        self.indices.len()
    }
}

impl ImageDataset for Subset {
    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn image_shape(&self) -> [usize; 3] {
        self.dataset.image_shape()
    }

    fn original(&self, index: usize) -> Result<LabelledImage, DataError> {
        self.dataset.original(self.indices[index])
    }

    fn skipped(&self) -> &[PathBuf] {
        self.dataset.skipped()
    }

    fn source_index(&self, index: usize) -> usize {
        self.dataset.source_index(self.indices[index])
    }

    fn name(&self, index: usize) -> Option<String> {
        self.dataset.name(self.indices[index])
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        self.dataset.file(self.indices[index])
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        self.dataset.label(self.indices[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::dataset::BuiltinDataset;
    use crate::builtin::task::Task;
    use crate::datasets::part::Part;
    use crate::formats::folder::config::{FolderConfig, NonImages};
    use crate::images::preprocessing::Preprocessing;

    #[test]
    fn keeps_the_order_given() {
        let all: Arc<dyn ImageDataset> = Arc::new(BuiltinDataset::new(Task::Target, Part::Train, 5, 0));
        let subset = Subset::new(all.clone(), vec![4, 1]).unwrap();
        assert_eq!(subset.len(), 2);
        assert_eq!(subset.get(0).unwrap(), all.get(4).unwrap());
        assert_eq!(subset.label(1).unwrap(), 1);
        assert_eq!([0, 1].map(|index| subset.source_index(index)), [4, 1]);
        assert!(matches!(
            Subset::new(all.clone(), vec![0, 5]),
            Err(DataError::IndexOutOfRange { index: 5, len: 5 })
        ));
        assert!(matches!(Subset::new(all, vec![]), Err(DataError::NoSamples { .. })));
    }

    #[test]
    fn stored_images_and_files_are_those_of_its_data_set() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        for (name, width) in [("1.png", 2), ("2.png", 9)] {
            ::image::GrayImage::new(width, 4).save(folder.path().join("a").join(name)).unwrap();
        }
        let config = FolderConfig::new(folder.path());
        let config = config.with_preprocessing(Preprocessing::ResizeCrop { resize: 2, crop: 2 });
        let subset = Subset::new(Arc::new(config.open().unwrap()), vec![1]).unwrap();
        // A program holds it like this.
        let subset: Arc<dyn ImageDataset> = Arc::new(subset);
        assert_eq!(subset.get(0).unwrap().image.shape, [3, 2, 2]);
        assert_eq!(subset.original(0).unwrap().image.shape, [3, 4, 9]);
        assert_eq!(subset.file(0), Some(folder.path().join("a/2.png")));
    }

    #[test]
    fn lists_what_its_data_set_skipped() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        ::image::GrayImage::new(2, 2).save(folder.path().join("a/1.png")).unwrap();
        let text = folder.path().join("a/notes.txt");
        std::fs::write(&text, "text").unwrap();
        let config = FolderConfig::new(folder.path()).with_non_images(NonImages::Skip);
        let subset = Subset::new(Arc::new(config.open().unwrap()), vec![0]).unwrap();
        assert_eq!(subset.skipped(), [text]);
    }
}

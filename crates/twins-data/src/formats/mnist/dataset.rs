use std::path::Path;

use burn_dataset::Dataset;

use crate::datasets::image_dataset::ImageDataset;
use crate::datasets::part::Part;
use crate::error::DataError;
use crate::file::find;
use crate::formats::mnist::idx::{IdxContent, read_idx};
use crate::images::image::{Image, LabelledImage};

/// The class names of Fashion-MNIST, whose files have the same format as those of [`MnistDataset`].
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// MNIST and data sets in the same format: grey images and labels in IDX files, plain or gzip, held in memory.
///
/// The files keep their published names, `train-images-idx3-ubyte` and so on (or `train-images.idx3-ubyte`), with or
/// without `.gz`. Only the files of the requested part need to exist.
///
/// # Shapes
/// - images: `[1, height, width]`, for MNIST `[1, 28, 28]`
#[derive(Debug, Clone)]
pub struct MnistDataset {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
    shape: [usize; 3],
}

impl MnistDataset {
    /// Reads the handwritten digits of a part of MNIST.
    ///
    /// # Errors
    /// Files that are missing, damaged, of the wrong kind, or do not belong together, and labels above 9.
    pub fn open(folder: impl AsRef<Path>, part: Part) -> Result<Self, DataError> {
        Self::read(folder.as_ref(), part, (0..10).map(|digit| digit.to_string()).collect())
    }

    /// Reads a part of Fashion-MNIST, whose classes are [`FASHION_MNIST_CLASSES`].
    ///
    /// # Errors
    /// The same as [`open`](Self::open).
    pub fn open_fashion(folder: impl AsRef<Path>, part: Part) -> Result<Self, DataError> {
        Self::read(folder.as_ref(), part, FASHION_MNIST_CLASSES.map(str::to_owned).to_vec())
    }

    fn read(folder: &Path, part: Part, classes: Vec<String>) -> Result<Self, DataError> {
        let image_file = find_idx(folder, part, "images", 3)?;
        let label_file = find_idx(folder, part, "labels", 1)?;
        let images = read_idx(&image_file, IdxContent::Images, 0)?;
        let labels = read_idx(&label_file, IdxContent::Labels, images.excess())?.bytes;

        let [count, height, width] = images.dims[..] else {
            unreachable!("a file of images has three dimensions");
        };
        if images.bytes.is_empty() {
            return Err(DataError::NoPixels { path: image_file, count, height, width });
        }
        if labels.len() != count {
            return Err(DataError::LabelCount {
                image_file,
                images: count,
                label_file,
                labels: labels.len(),
            });
        }
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= classes.len()) {
            let label = labels[index].into();
            return Err(DataError::LabelOutOfRange {
                path: label_file,
                index,
                label,
                classes: classes.len(),
            });
        }
        Ok(Self { pixels: images.bytes, labels, classes, shape: [1, height, width] })
    }
}

fn find_idx(
    folder: &Path,
    part: Part,
    content: &str,
    dimensions: usize,
) -> Result<std::path::PathBuf, DataError> {
    let prefix = match part {
        Part::Train => "train",
        Part::Test => "t10k",
        Part::Validation => return Err(DataError::MissingPart { folder: folder.to_path_buf(), part }),
    };
    let names = ["-", "."].map(|separator| format!("{prefix}-{content}{separator}idx{dimensions}-ubyte"));
    let compressed = names.clone().map(|name| name + ".gz");
    let names: Vec<&str> = names.iter().chain(&compressed).map(String::as_str).collect();
    find(folder, &names)
}

impl Dataset<LabelledImage, DataError> for MnistDataset {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        let label = self.labels[index].into();
        let size = self.shape.iter().product::<usize>();
        let pixels = self.pixels[index * size..][..size].to_vec();
        Ok(LabelledImage { image: Image { shape: self.shape, pixels }, label })
    }

    fn len(&self) -> usize {
        self.labels.len()
    }
}

impl ImageDataset for MnistDataset {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        self.shape
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.labels[index].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(dims: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = (0x0800 + dims.len() as u32).to_be_bytes().to_vec();
        dims.iter().for_each(|dim| file.extend(dim.to_be_bytes()));
        file.extend(bytes);
        file
    }

    fn open(images: &[u8], labels: &[u8]) -> Result<MnistDataset, DataError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t10k-images-idx3-ubyte"), images).unwrap();
        std::fs::write(folder.path().join("t10k-labels.idx1-ubyte"), labels).unwrap();
        MnistDataset::open(folder.path(), Part::Test)
    }

    #[test]
    fn reads_images_and_labels() {
        let pixels: Vec<u8> = (0..12).collect();
        let dataset = open(&idx(&[2, 2, 3], &pixels), &idx(&[2], &[7, 9])).unwrap();
        assert_eq!(dataset.len(), 2);
        assert_eq!(dataset.image_shape(), [1, 2, 3]);
        let sample = dataset.get(1).unwrap();
        assert_eq!(sample.label, 9);
        assert_eq!(sample.image.pixels, [6, 7, 8, 9, 10, 11]);
        assert_eq!(dataset.labels().unwrap(), [7, 9]);
    }

    #[test]
    fn refuses_labels_that_do_not_fit() {
        let images = idx(&[2, 1, 1], &[0, 1]);
        for labels in [&[1][..], &[1, 2, 3]] {
            let error = open(&images, &idx(&[labels.len() as u32], labels)).unwrap_err();
            assert!(matches!(error, DataError::LabelCount { images: 2, .. }), "{error}");
        }
        let error = open(&images, &idx(&[2], &[0, 10])).unwrap_err();
        assert!(
            matches!(error, DataError::LabelOutOfRange { index: 1, label: 10, classes: 10, .. }),
            "{error}"
        );
    }

    #[test]
    fn refuses_a_file_without_pixels() {
        let error = open(&idx(&[2, 0, 28], &[]), &idx(&[2], &[0, 1])).unwrap_err();
        assert!(matches!(error, DataError::NoPixels { count: 2, height: 0, .. }), "{error}");
        assert!(matches!(open(&idx(&[0, 28, 28], &[]), &idx(&[0], &[])), Err(DataError::NoPixels { .. })));
    }

    #[test]
    fn says_which_files_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = MnistDataset::open(folder.path(), Part::Train).unwrap_err();
        assert!(error.to_string().contains("train-images-idx3-ubyte.gz"), "{error}");
        let error = MnistDataset::open(folder.path().join("none"), Part::Train).unwrap_err();
        assert!(matches!(error, DataError::Io { .. }), "{error}");
    }

    #[test]
    fn reads_the_real_test_set() {
        let Some(shared) = std::env::var_os("TWINS_SHARED") else {
            println!("skipped: TWINS_SHARED is not set");
            return;
        };
        let dataset = MnistDataset::open(Path::new(&shared).join("data"), Part::Test).unwrap();
        assert_eq!(dataset.len(), 10_000);
        assert_eq!(dataset.image_shape(), [1, 28, 28]);
        // The published labels begin like this, and there are 980 zeros.
        let labels = dataset.labels().unwrap();
        assert_eq!(labels[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
        assert_eq!(labels.iter().filter(|&&label| label == 0).count(), 980);
    }
}

use burn::tensor::{Int, Tensor};
use burn_dataset::Dataset;

use crate::datasets::class_names::refuse_duplicates;
use crate::datasets::image_dataset::ImageDataset;
use crate::error::DataError;
use crate::images::image::{Image, LabelledImage};

/// A data set of images and labels that are already in memory.
///
/// Images are stored as bytes, as in every data set of this crate: floats are rounded to the nearest of 256 levels, and
/// [`rounding`](Self::rounding) returns the largest rounding error. Classes are named `0`, `1`, … up to the largest label, unless
/// [`with_classes`](Self::with_classes) names them.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use twins_data::{ImageDataset, TensorDataset};
///
/// # fn main() -> Result<(), twins_data::DataError> {
/// # let device = Device::flex();
/// // Two grey images of 2 × 2 pixels, from tensors or from vectors.
/// let images = Tensor::<4>::from_floats([[[[0.0, 0.2], [0.4, 0.6]]], [[[1.0, 0.8], [0.6, 0.4]]]], &device);
/// let labels = Tensor::<1, Int>::from_ints([0, 1], &device);
/// let data = TensorDataset::from_tensors(images, labels)?;
/// assert_eq!(data.image_shape(), [1, 2, 2]);
///
/// let same = TensorDataset::from_bytes([1, 2, 2], vec![0, 51, 102, 153, 255, 204, 153, 102], vec![0, 1])?;
/// let same = same.with_classes(["dark", "light"])?;
/// assert_eq!(same.original(1)?, data.original(1)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TensorDataset {
    pixels: Vec<u8>,
    labels: Vec<usize>,
    classes: Vec<String>,
    shape: [usize; 3],
    rounding: f32,
}

impl TensorDataset {
    /// Creates a data set from tensors, which may be on any device.
    ///
    /// # Shapes
    /// - `images`: `[samples, channels, height, width]`, in [0, 1]
    /// - `labels`: `[samples]`, from 0
    ///
    /// # Errors
    /// The errors of [`from_floats`](Self::from_floats), negative labels, and a device that cannot be read.
    pub fn from_tensors(images: Tensor<4>, labels: Tensor<1, Int>) -> Result<Self, DataError> {
        let [_, channels, height, width] = images.dims();
        let images = images.try_into_data_as::<f32>().map_err(DataError::custom)?;
        let labels = labels.try_into_data_as::<i64>().map_err(DataError::custom)?;
        let labels = labels.iter::<i64>().enumerate().map(|(index, label)| {
            usize::try_from(label).map_err(|_| DataError::LabelWithoutClass { index, label, classes: None })
        });
        let labels = labels.collect::<Result<_, _>>()?;
        Self::from_floats([channels, height, width], &images.iter::<f32>().collect::<Vec<_>>(), labels)
    }

    /// Creates a data set from images of `shape` (`[channels, height, width]`) with values in [0, 1], one after the other in row-major
    /// order, and one label per image.
    ///
    /// # Errors
    /// No samples, a number of values that does not match the shape and the number of labels, and values outside [0, 1].
    pub fn from_floats(shape: [usize; 3], values: &[f32], labels: Vec<usize>) -> Result<Self, DataError> {
        let mut rounding = 0.0f32;
        // A size that overflows is an error below.
        let size = shape.iter().fold(1usize, |size, side| size.saturating_mul(*side)).max(1);
        let byte = |(position, &value): (usize, &f32)| {
            if !(0.0..=1.0).contains(&value) {
                return Err(DataError::ValueOutOfRange { index: position / size, value });
            }
            let level = (value * 255.0).round();
            rounding = rounding.max((value - level / 255.0).abs());
            Ok(level as u8)
        };
        let pixels = values.iter().enumerate().map(byte).collect::<Result<_, _>>()?;
        Ok(Self { rounding, ..Self::from_bytes(shape, pixels, labels)? })
    }

    /// Creates a data set from images of `shape` (`[channels, height, width]`), one after the other in row-major order, in which 255 means
    /// 1.0, and one label per image.
    ///
    /// # Errors
    /// No samples, and a number of bytes that does not match the shape and the number of labels.
    pub fn from_bytes(shape: [usize; 3], pixels: Vec<u8>, labels: Vec<usize>) -> Result<Self, DataError> {
        let Some(&largest) = labels.iter().max() else {
            return Err(DataError::NoSamples { what: "a data set" });
        };
        let expected = shape.iter().try_fold(labels.len(), |product, &side| product.checked_mul(side));
        if expected != Some(pixels.len()) || pixels.is_empty() {
            return Err(DataError::ValueCount { found: pixels.len(), shape, labels: labels.len() });
        }
        // A name is created for every class up to the largest label. The limit keeps an invalid label from exhausting the memory.
        if largest >= LARGEST_CLASS {
            let index =
                labels.iter().position(|&label| label == largest).expect("the largest is one of them");
            return Err(DataError::LabelWithoutClass {
                index,
                label: largest as i64,
                classes: Some(LARGEST_CLASS),
            });
        }
        let classes = (0..=largest).map(|class| class.to_string()).collect();
        Ok(Self { pixels, labels, classes, shape, rounding: 0.0 })
    }

    /// Names the classes, in the order of the labels. There may be classes without samples.
    ///
    /// # Errors
    /// A label without a name, and two classes with the same name.
    pub fn with_classes(
        self,
        classes: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, DataError> {
        let classes: Vec<String> = classes.into_iter().map(Into::into).collect();
        refuse_duplicates(&classes, None)?;
        match self.labels.iter().position(|&label| label >= classes.len()) {
            Some(index) => Err(DataError::LabelWithoutClass {
                index,
                label: self.labels[index] as i64,
                classes: Some(classes.len()),
            }),
            None => Ok(Self { classes, ..self }),
        }
    }

    /// The largest change of a value by rounding to a byte: 0 for bytes, about 1e-8 for floats that were computed from bytes, and up to
    /// 1/510 for other floats.
    pub fn rounding(&self) -> f32 {
        self.rounding
    }
}

/// More classes than any data set has.
const LARGEST_CLASS: usize = 1 << 24;

impl Dataset<LabelledImage, DataError> for TensorDataset {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        let size = self.shape.iter().product::<usize>();
        let pixels = self.pixels[index * size..][..size].to_vec();
        Ok(LabelledImage { image: Image { shape: self.shape, pixels }, label: self.labels[index] })
    }

    fn len(&self) -> usize {
        self.labels.len()
    }
}

impl ImageDataset for TensorDataset {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        self.shape
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.labels[index])
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::datasets::batch::collate;

    #[test]
    fn batches_are_the_tensors_that_were_given() {
        let device = Device::flex();
        let values: Vec<f32> = (0..2 * 3 * 2 * 2).map(|value| (value * 11) as f32 / 255.0).collect();
        let data = burn::tensor::TensorData::new(values.clone(), [2, 3, 2, 2]);
        let images = Tensor::<4>::from_data(data, &device);
        let labels = Tensor::<1, Int>::from_ints([2, 0], &device);
        let dataset = TensorDataset::from_tensors(images, labels).unwrap();
        assert_eq!(dataset.classes(), ["0", "1", "2"]);
        assert_eq!(dataset.labels().unwrap(), [2, 0]);
        // The same division of the same byte: equal to the last bit.
        assert_eq!(dataset.rounding(), 0.0);
        let batch = collate(&dataset, &[0, 1], None, &device).unwrap();
        assert_eq!(batch.images.into_data().try_to_vec::<f32>().unwrap(), values);
    }

    #[test]
    fn floats_between_two_levels_are_rounded_to_the_nearest() {
        // 0.2999 · 255 = 76.47 and 0.7 · 255 = 178.5, of which the half goes up.
        let dataset = TensorDataset::from_floats([1, 1, 2], &[0.2999, 0.7], vec![0]).unwrap();
        assert_eq!(dataset.get(0).unwrap().image.pixels, [76, 179]);
        // |0.7 − 179/255| = 0.00196.
        assert!((dataset.rounding() - 0.001_960_8).abs() < 1e-6, "{}", dataset.rounding());
    }

    #[test]
    fn what_is_no_data_set_is_refused() {
        let error = TensorDataset::from_bytes([1, 2, 2], vec![0; 7], vec![0, 1]).unwrap_err();
        assert!(error.to_string().contains("7 values") && error.to_string().contains("2 labels"), "{error}");
        let error = TensorDataset::from_bytes([1, usize::MAX, 2], vec![0; 8], vec![0, 1]).unwrap_err();
        assert!(matches!(error, DataError::ValueCount { .. }), "{error}");
        let error = TensorDataset::from_floats([1, usize::MAX, 2], &[0.0; 8], vec![0, 1]).unwrap_err();
        assert!(matches!(error, DataError::ValueCount { .. }), "{error}");
        let error = TensorDataset::from_bytes([1, 0, 2], vec![], vec![0, 1]).unwrap_err();
        assert!(matches!(error, DataError::ValueCount { .. }), "{error}");
        let error = TensorDataset::from_bytes([1, 2, 2], vec![], vec![]).unwrap_err();
        assert!(matches!(error, DataError::NoSamples { .. }), "{error}");
        for value in [-0.01, 1.01, 128.0, f32::NAN] {
            let error =
                TensorDataset::from_floats([1, 1, 2], &[0.0, 1.0, 0.5, value], vec![0, 1]).unwrap_err();
            assert!(matches!(error, DataError::ValueOutOfRange { index: 1, .. }), "{error}");
            assert!(error.to_string().contains("[0, 1]"), "{error}");
        }
        let error = TensorDataset::from_bytes([1, 1, 1], vec![0, 1], vec![0, usize::MAX]).unwrap_err();
        assert!(matches!(error, DataError::LabelWithoutClass { index: 1, .. }), "{error}");
        let device = Device::flex();
        let images = Tensor::<4>::zeros([2, 1, 1, 1], &device);
        let labels = Tensor::<1, Int>::from_ints([0, -1], &device);
        let error = TensorDataset::from_tensors(images, labels).unwrap_err();
        assert!(matches!(error, DataError::LabelWithoutClass { index: 1, label: -1, .. }), "{error}");
    }

    #[test]
    fn every_label_has_a_class_name() {
        let dataset = TensorDataset::from_bytes([1, 1, 1], vec![0, 1], vec![0, 2]).unwrap();
        let named = dataset.clone().with_classes(["a", "b", "c", "none of these"]).unwrap();
        assert_eq!(named.classes().len(), 4);
        let error = dataset.clone().with_classes(["a", "b"]).unwrap_err();
        assert!(
            matches!(error, DataError::LabelWithoutClass { index: 1, label: 2, classes: Some(2) }),
            "{error}"
        );
        assert!(matches!(dataset.with_classes(["a", "b", "a"]), Err(DataError::DuplicateClass { .. })));
    }
}

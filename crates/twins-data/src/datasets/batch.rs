use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::augmentation::augment::Augmentation;
use crate::datasets::image_dataset::ImageDataset;
use crate::error::DataError;
use crate::images::image::{Image, LabelledImage};

/// A batch of samples on a device.
///
/// # Shapes
/// - `images`: `[batch, channels, height, width]`, float32 in [0, 1]
#[derive(Debug, Clone)]
pub struct Batch {
    /// The images; a byte value of 255 is 1.0.
    pub images: Tensor<4>,
    /// The label of each image.
    pub labels: Vec<usize>,
    /// The index of each image in its data set, which seeds its random draws.
    pub ids: Vec<u64>,
}

/// Makes a batch of the samples `ids` of a data set, in that order.
///
/// Images are decoded and augmented in parallel; the result does not depend on the number of threads. `augmentation` is
/// passed with the seed of the epoch, so that every epoch draws new random numbers.
///
/// # Errors
/// [`DataError::NoSamples`] if `ids` is empty, [`DataError::IndexOutOfRange`], any error of the data set, and
/// [`DataError::WrongShape`] for an image that differs from [`ImageDataset::image_shape`].
///
/// ```
/// use twins_data::{Augmentation, BuiltinDataset, Part, Task, collate};
///
/// # fn main() -> Result<(), twins_data::DataError> {
/// let letters = BuiltinDataset::new(Task::Source, Part::Train, 50, 0);
/// let augmentation = Augmentation::new().with_crop_padding(2);
/// let batch = collate(&letters, &[30, 2], Some((&augmentation, 1)), &burn::tensor::Device::flex())?;
/// assert_eq!(batch.labels, [0, 2]);
/// assert_eq!(batch.ids, [30, 2]);
/// # Ok(())
/// # }
/// ```
pub fn collate(
    dataset: &dyn ImageDataset,
    ids: &[usize],
    augmentation: Option<(&Augmentation, u64)>,
    device: &Device,
) -> Result<Batch, DataError> {
    if ids.is_empty() {
        return Err(DataError::NoSamples { what: "a batch" });
    }
    let shape @ [channels, height, width] = dataset.image_shape();
    let samples: Vec<Result<LabelledImage, DataError>> =
        ids.par_iter().map(|&index| sample(dataset, index, augmentation)).collect();
    let samples = samples.into_iter().collect::<Result<Vec<_>, _>>()?;

    let mut bytes = Vec::with_capacity(ids.len() * shape.iter().product::<usize>());
    samples.iter().for_each(|LabelledImage { image, .. }| bytes.extend_from_slice(&image.pixels));
    Ok(Batch {
        images: floats(bytes, [ids.len(), channels, height, width], device),
        labels: samples.iter().map(|sample| sample.label).collect(),
        ids: ids.iter().map(|&id| id as u64).collect(),
    })
}

/// Converts bytes to floats on the device: the images are copied as bytes if the device supports them.
///
/// It divides by 255, because a multiplication by 1/255 would differ from PyTorch's result in the last bit.
fn floats(bytes: Vec<u8>, shape: [usize; 4], device: &Device) -> Tensor<4> {
    if device.supports_dtype(DType::U8) {
        let images = Tensor::<4, Int>::from_data(TensorData::new(bytes, shape), (device, DType::U8));
        return images.float().cast(DType::F32) / 255.0;
    }
    let values: Vec<f32> = bytes.into_iter().map(|byte| f32::from(byte) / 255.0).collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

fn sample(
    dataset: &dyn ImageDataset,
    index: usize,
    augmentation: Option<(&Augmentation, u64)>,
) -> Result<LabelledImage, DataError> {
    let len = dataset.len();
    if index >= len {
        return Err(DataError::IndexOutOfRange { index, len });
    }
    let expected @ [channels, height, width] = dataset.image_shape();
    let wrong_shape = |image: &Image| DataError::WrongShape {
        index,
        found: image.shape,
        pixels: image.pixels.len(),
        expected,
    };
    let sample = match augmentation {
        Some((augmentation, seed)) if augmentation.takes_originals() => {
            let LabelledImage { image, label } = dataset.original(index)?;
            if image.shape[0] != channels || image.pixels.is_empty() || !image.is_consistent() {
                return Err(wrong_shape(&image));
            }
            LabelledImage { image: augmentation.apply(&image, [height, width], seed, index as u64), label }
        }
        _ => {
            let mut sample = dataset.get(index)?;
            if sample.image.shape != expected || !sample.image.is_consistent() {
                return Err(wrong_shape(&sample.image));
            }
            if let Some((augmentation, seed)) = augmentation {
                sample.image = augmentation.apply(&sample.image, [height, width], seed, index as u64);
            }
            sample
        }
    };
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use burn_dataset::Dataset;

    use super::*;
    use crate::images::image::Image;

    /// Sample i is of i, i + 1, i + 2, i + 3; sample 3 is faulty.
    struct Faulty(Vec<String>);

    impl Dataset<LabelledImage, DataError> for Faulty {
        fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
            let width = if index == 3 { 3 } else { 2 };
            let pixels = (index as u8..).take(2 * width).collect();
            Ok(LabelledImage { image: Image { shape: [1, 2, width], pixels }, label: index })
        }

        fn len(&self) -> usize {
            4
        }
    }

    impl ImageDataset for Faulty {
        fn classes(&self) -> &[String] {
            &self.0
        }

        fn image_shape(&self) -> [usize; 3] {
            [1, 2, 2]
        }
    }

    #[test]
    fn keeps_the_order_and_scales_to_one() {
        let batch = collate(&Faulty(vec![]), &[2, 0, 1], None, &Device::flex()).unwrap();
        assert_eq!(batch.images.dims(), [3, 1, 2, 2]);
        assert_eq!(batch.labels, [2, 0, 1]);
        assert_eq!(batch.ids, [2, 0, 1]);
        let values = batch.images.into_data().try_to_vec::<f32>().unwrap();
        let expected = [2, 3, 4, 5, 0, 1, 2, 3, 1, 2, 3, 4].map(|pixel: u8| f32::from(pixel) / 255.0);
        assert_eq!(values, expected);
    }

    /// Images of black pixels whose stored form is larger and brighter; the stored form of sample 1 is faulty.
    struct Preprocessed(Vec<String>);

    impl Dataset<LabelledImage, DataError> for Preprocessed {
        fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
            Ok(LabelledImage { image: Image { shape: [1, 2, 2], pixels: vec![0; 4] }, label: index })
        }

        fn len(&self) -> usize {
            2
        }
    }

    impl ImageDataset for Preprocessed {
        fn classes(&self) -> &[String] {
            &self.0
        }

        fn image_shape(&self) -> [usize; 3] {
            [1, 2, 2]
        }

        fn original(&self, index: usize) -> Result<LabelledImage, DataError> {
            let channels = 1 + index;
            let image = Image { shape: [channels, 5, 7], pixels: vec![255; channels * 35] };
            Ok(LabelledImage { image, label: index })
        }
    }

    #[test]
    fn resized_crops_are_of_the_stored_images() {
        let dataset = Preprocessed(vec![]);
        let collate = |ids: &[usize], augmentation: &Augmentation| {
            collate(&dataset, ids, Some((augmentation, 0)), &Device::flex())
        };
        let batch = collate(&[0], &Augmentation::imagenet()).unwrap();
        assert_eq!(batch.images.dims(), [1, 1, 2, 2]);
        assert_eq!(batch.images.into_data().try_to_vec::<f32>().unwrap(), [1.0; 4]);
        let batch = collate(&[0], &Augmentation::cifar()).unwrap();
        assert_eq!(batch.images.into_data().try_to_vec::<f32>().unwrap(), [0.0; 4]);
        let error = collate(&[0, 1], &Augmentation::imagenet()).unwrap_err();
        assert!(matches!(error, DataError::WrongShape { index: 1, found: [2, 5, 7], .. }), "{error}");
    }

    #[test]
    fn refuses_bad_requests_and_faulty_data_sets() {
        let collate = |ids: &[usize]| collate(&Faulty(vec![]), ids, None, &Device::flex()).unwrap_err();
        assert!(matches!(collate(&[]), DataError::NoSamples { .. }));
        assert!(matches!(collate(&[0, 4]), DataError::IndexOutOfRange { index: 4, len: 4 }));
        // The first fault in the order asked for, whichever thread is first.
        let error = collate(&[0, 3, 9]);
        assert!(
            matches!(error, DataError::WrongShape { index: 3, found: [1, 2, 3], pixels: 6, .. }),
            "{error}"
        );
    }
}

//! Normalisation of images inside the model.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// Mean and standard deviation per channel, applied by the model to images in [0, 1].
///
/// y_c = (x_c − mean_c) / std_c
///
/// It belongs to the model, not to the data, so that attacks work on images in [0, 1] and epsilon has the same meaning for every model. The
/// values are part of the configuration: they are saved with the model, but are not parameters and have no gradient.
///
/// On the command line, it is written as `imagenet`, `cifar10`, `cifar100`, or with one number per channel as `MEAN,…/STD,…`. In files, it
/// may be this text or a table with the lists `mean` and `std`; this library writes the table.
///
/// ```
/// use twins_models::Normalisation;
///
/// let half: Normalisation = "0.5,0.5,0.5/0.25,0.25,0.25".parse()?;
/// assert_eq!(half.mean(), [0.5; 3]);
/// assert_eq!("imagenet".parse::<Normalisation>()?, Normalisation::imagenet());
/// assert!("imagnet".parse::<Normalisation>().unwrap_err().to_string().contains("cifar10"));
/// # Ok::<(), twins_models::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(!try_from))]
#[serde(try_from = "TextOrTable")]
pub struct Normalisation {
    /// The mean of each channel.
    mean: Vec<f32>,
    /// The standard deviation of each channel.
    std: Vec<f32>,
}

/// The normalisation as it is deserialised, before validation.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected imagenet, cifar10, cifar100, MEAN,…/STD,…, or a table of the lists mean and std"
)]
enum TextOrTable {
    Text(String),
    Table(Table),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl TryFrom<TextOrTable> for Normalisation {
    type Error = ModelError;

    fn try_from(given: TextOrTable) -> Result<Self, ModelError> {
        match given {
            TextOrTable::Text(text) => text.parse(),
            TextOrTable::Table(Table { mean, std }) => Self::new(mean, std),
        }
    }
}

impl Normalisation {
    /// Creates a normalisation with these values, one per channel.
    ///
    /// # Errors
    ///
    /// [`ModelError::Normalisation`] if the lengths differ or are 0, a value is not finite, or a standard deviation is not positive.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self, ModelError> {
        let fits = !mean.is_empty()
            && mean.len() == std.len()
            && mean.iter().all(|m| m.is_finite())
            && std.iter().all(|s| s.is_finite() && *s > 0.0);
        if fits { Ok(Self { mean, std }) } else { Err(ModelError::Normalisation { mean, std }) }
    }

    /// The mean (0.485, 0.456, 0.406) and standard deviation (0.229, 0.224, 0.225) of ImageNet.
    pub fn imagenet() -> Self {
        Self { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
    }

    /// The mean (0.4914, 0.4822, 0.4465) and standard deviation (0.2471, 0.2435, 0.2616) of
    /// CIFAR-10, as the robust WideResNets and ResNet-18s of the literature round them.
    pub fn cifar10() -> Self {
        Self { mean: vec![0.4914, 0.4822, 0.4465], std: vec![0.2471, 0.2435, 0.2616] }
    }

    /// The mean (0.5071, 0.4865, 0.4409) and standard deviation (0.2673, 0.2564, 0.2762) of
    /// CIFAR-100, as the robust WideResNets of the literature round them.
    pub fn cifar100() -> Self {
        Self { mean: vec![0.5071, 0.4865, 0.4409], std: vec![0.2673, 0.2564, 0.2762] }
    }

    /// Means, one per channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Standard deviations, one per channel.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.mean.len()
    }

    /// Normalises images.
    ///
    /// # Shapes
    ///
    /// `[batch, channels, height, width]` to the same shape.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        // In the data type of the images, which may be half precision in an attack.
        let options = (&images.device(), images.dtype());
        let per_channel = |values: &[f32]| {
            Tensor::<4>::from_data(TensorData::new(values.to_vec(), [1, values.len(), 1, 1]), options)
        };
        (images - per_channel(&self.mean)) / per_channel(&self.std)
    }
}

impl Normalisation {
    fn named() -> [(&'static str, Self); 3] {
        [("imagenet", Self::imagenet()), ("cifar10", Self::cifar10()), ("cifar100", Self::cifar100())]
    }
}

impl FromStr for Normalisation {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        if let Some((_, normalisation)) = Self::named().into_iter().find(|(name, _)| *name == text) {
            return Ok(normalisation);
        }
        let numbers = |list: &str| list.split(',').map(|number| number.trim().parse::<f32>().ok()).collect();
        let lists = text.split_once('/').map(|(mean, std)| (numbers(mean), numbers(std)));
        match lists {
            Some((Some(mean), Some(std))) => Self::new(mean, std),
            _ => Err(ModelError::NormalisationText { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Normalisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = Self::named().into_iter().find(|(_, named)| named == self) {
            return f.write_str(name);
        }
        let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        write!(f, "{}/{}", list(&self.mean), list(&self.std))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_survives_json(
            mean in prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO,
            std in prop::num::f32::POSITIVE,
        ) {
            let norm = Normalisation::new(vec![mean], vec![std]).unwrap();
            let text = serde_json::to_string(&norm).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Normalisation>(&text).unwrap(), &norm);
            prop_assert_eq!(norm.to_string().parse::<Normalisation>().unwrap(), norm);
        }
    }

    #[test]
    fn text_is_read_and_written() {
        for text in ["imagenet", "cifar10", "cifar100", "0.25/0.5", "0.1,0.2,0.3/1,2,3"] {
            let norm: Normalisation = text.parse().unwrap();
            assert_eq!(norm.to_string(), text);
            assert_eq!(serde_json::from_str::<Normalisation>(&format!("{text:?}")).unwrap(), norm);
        }
        for (json, expected) in [
            (r#""imagnet""#, "imagnet"),
            (r#""0.5""#, "MEAN"),
            (r#""0.5/x""#, "MEAN"),
            (r#""0.5/0""#, "positive"),
            (r#"{"mean": [0.5], "std": [-1]}"#, "positive"),
            (r#"{"mean": [0.5]}"#, "mean and std"),
            ("3", "mean and std"),
        ] {
            let message = serde_json::from_str::<Normalisation>(json).unwrap_err().to_string();
            assert!(message.contains(expected), "{json}: {message}");
        }
    }

    #[test]
    fn subtracts_the_mean_and_divides_by_the_std_of_each_channel() {
        let norm = Normalisation::new(vec![0.5, 0.25], vec![0.5, 0.25]).unwrap();
        let x = Tensor::<4>::from_data([[[[1.0f32]], [[1.0]]]], &Device::flex());
        // (1 − 0.5) / 0.5 = 1 and (1 − 0.25) / 0.25 = 3, exact in binary.
        assert_eq!(norm.forward(x).into_data().try_to_vec::<f32>().unwrap(), [1.0, 3.0]);
    }

    #[test]
    fn computes_in_the_type_of_the_images() {
        use burn::tensor::FloatDType;
        let norm = Normalisation::new(vec![0.5], vec![0.25]).unwrap();
        for dtype in [FloatDType::F16, FloatDType::BF16] {
            let y = norm.forward(Tensor::<4>::ones([1, 1, 1, 1], &Device::flex()).cast(dtype));
            assert_eq!(FloatDType::from(y.dtype()), dtype);
            assert_eq!(y.into_data_as::<f32>().try_into_vec::<f32>().unwrap(), [2.0]);
        }
    }

    #[test]
    fn refuses_values_that_cannot_normalise() {
        for (mean, std) in [
            (vec![0.0], vec![0.0]),
            (vec![0.0], vec![-1.0]),
            (vec![f32::NAN], vec![1.0]),
            (vec![0.0, 0.0], vec![1.0]),
            (vec![], vec![]),
        ] {
            assert!(Normalisation::new(mean, std).is_err());
        }
    }
}

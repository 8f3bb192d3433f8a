use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use twins_attack::{Attack, Samples, predictions};
use twins_nn::ImageClassifier;

use crate::error::ReportError;
use crate::measure::png::PngUri;

/// Clean images and their adversarial examples, as PNG images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gallery {
    /// The attack, such as `PGD-20 Linf 8/255`.
    pub attack: String,
    /// The factor by which the differences are magnified.
    pub magnification: f64,
    /// The images.
    pub images: Vec<GalleryImage>,
}

/// An image of a [`Gallery`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GalleryImage {
    /// The index in the data set.
    pub index: u64,
    /// The true class.
    pub label: usize,
    /// The class that the model predicts for the clean image.
    pub clean_prediction: usize,
    /// The class that the model predicts for the adversarial example.
    pub adversarial_prediction: usize,
    /// The clean image.
    pub clean: PngUri,
    /// The adversarial example.
    pub adversarial: PngUri,
    /// `1/2 + magnification · (adversarial − clean)`: grey in places without a change.
    pub difference: PngUri,
}

impl Gallery {
    /// Attacks the samples and selects `count` of them. Samples for which the attack succeeded come first, up to half of
    /// `count` (rounded up); then samples for which it failed, the remaining ones for which it succeeded, and samples that
    /// are misclassified without an attack. The model runs as `model.valid()`.
    ///
    /// # Errors
    ///
    /// [`ReportError::Attack`] if the attack fails to run; [`ReportError::Part`] for images that do not have 1 or 3
    /// channels.
    pub fn measure<M: ImageClassifier + Sync>(
        model: &M,
        samples: &Samples,
        attack_name: impl Into<String>,
        attack: &dyn Attack,
        count: usize,
    ) -> Result<Self, ReportError> {
        let victim = model.valid();
        let logits = |images: Tensor<4>| victim.logits(images);
        let clean = predictions(&logits, samples)?;
        let output = attack.run(&logits, samples)?;
        let pixels: Vec<f32> = output.adversarial.into_data().iter::<f32>().collect();
        let pixels_of = |index: usize| {
            let length = pixels.len() / samples.len();
            &pixels[index * length..(index + 1) * length]
        };

        let is_correct = |index: &usize| clean[*index] == samples.labels()[*index];
        let (correct, wrong): (Vec<usize>, Vec<usize>) = (0..samples.len()).partition(is_correct);
        let (fooled, robust): (Vec<usize>, Vec<usize>) =
            correct.into_iter().partition(|index| output.fooled[*index]);
        let (first, more) = fooled.split_at(fooled.len().min(count.div_ceil(2)));
        let chosen: Vec<usize> = [first, &robust, more, &wrong].concat().into_iter().take(count).collect();

        let changes =
            |index: usize| pixels_of(index).iter().zip(samples.image(index)).map(|(a, clean)| a - clean);
        let largest = chosen
            .iter()
            .flat_map(|&index| changes(index))
            .fold(0.0f32, |most, change| most.max(change.abs()));
        let magnification = if largest > 0.0 { 0.5 / largest } else { 1.0 };
        let shape = samples.image_shape();
        let image = |&index: &usize| {
            let difference: Vec<f32> = changes(index).map(|change| 0.5 + magnification * change).collect();
            Ok(GalleryImage {
                index: samples.ids()[index],
                label: samples.labels()[index],
                clean_prediction: clean[index],
                adversarial_prediction: output.predictions[index],
                clean: PngUri::encode(samples.image(index), shape)?,
                adversarial: PngUri::encode(pixels_of(index), shape)?,
                difference: PngUri::encode(&difference, shape)?,
            })
        };
        let images = chosen.iter().map(image).collect::<Result<_, ReportError>>()?;
        Ok(Self { attack: attack_name.into(), magnification: f64::from(magnification), images })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use twins_attack::{Norm, PgdConfig, ThreatModel};

    use super::*;
    use crate::measure::two_pixels::TwoPixels;

    fn gallery(count: usize) -> Gallery {
        let device = Device::flex();
        // Not fooled, misclassified when clean, fooled, fooled.
        let images = [[[[0.9, 0.1]]], [[[0.1, 0.2]]], [[[0.5, 0.4]]], [[[0.4, 0.3]]]];
        let samples = Samples::new(Tensor::from_floats(images, &device), vec![0; 4]).unwrap();
        let attack = PgdConfig::fgsm(ThreatModel::new(Norm::Linf, 0.1).unwrap()).build().unwrap();
        Gallery::measure(&TwoPixels::new(&device), &samples, "FGSM", &attack, count).unwrap()
    }

    fn indices(gallery: &Gallery) -> Vec<u64> {
        gallery.images.iter().map(|image| image.index).collect()
    }

    #[test]
    fn half_of_the_images_are_fooled_ones_where_there_are_others() {
        assert_eq!(indices(&gallery(2)), [2, 0]);
        assert_eq!(indices(&gallery(9)), [2, 3, 0, 1]);
        assert_eq!(indices(&gallery(1)), [2]);
        assert!(gallery(0).images.is_empty());
    }

    #[test]
    fn predictions_and_magnification_are_recorded() {
        let gallery = gallery(2);
        let image = &gallery.images[0];
        assert_eq!((image.label, image.clean_prediction, image.adversarial_prediction), (0, 0, 1));
        // The largest change is epsilon, 0.1; what is left is the rounding of 0.5 - 0.1 and the like.
        assert!((gallery.magnification - 5.0).abs() < 1e-5, "{}", gallery.magnification);
        let text = serde_json::to_string(&gallery).unwrap();
        assert_eq!(serde_json::from_str::<Gallery>(&text).unwrap(), gallery);
    }
}

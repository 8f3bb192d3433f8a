use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use twins_attack::{Attack, Norm, PgdConfig, Samples, ThreatModel, predictions};
use twins_data::{ImageDataset, Limit, collate};

use crate::error::ReportError;
use twins_nn::ImageClassifier;
use twins_train::Accuracy;

/// `count` images of a data set, each class in proportion ([`Limit::Stratified`]), or all where there are fewer, as samples for
/// attacks.
///
/// # Errors
///
/// Those of reading the data; [`ReportError::NoImages`] where `count` is 0.
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

/// Robust accuracy against the radius of the threat model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RobustnessCurve {
    /// Whose it is, such as "best" or "last".
    pub label: String,
    /// The norm.
    pub norm: Norm,
    /// Steps of PGD.
    pub steps: usize,
    /// Radius on the [0, 1] scale, and accuracy within it; ascending.
    pub points: Vec<(f64, Accuracy)>,
}

impl RobustnessCurve {
    /// Measures a model with PGD from the clean image, steps of a quarter of the radius.
    ///
    /// An image that is misclassified within one radius counts as misclassified within all larger ones, whose balls
    /// contain it, and is not attacked again: the curve never rises.
    ///
    /// # Errors
    ///
    /// Those of the attack: a radius that is negative or not a number, no steps, labels that the model lacks.
    ///
    /// ```
    /// # use burn::module::Module;
    /// # use burn::nn::{Linear, LinearConfig};
    /// # use burn::tensor::{Device, Tensor};
    /// # use twins_attack::Norm;
    /// # use twins_data::{BuiltinDataset, Part, Task};
    /// # use twins_nn::ImageClassifier;
    /// # use twins_report::{RobustnessCurve, stratified_samples};
    /// # #[derive(Module, Debug)]
    /// # struct Flat { linear: Linear }
    /// # impl ImageClassifier for Flat {
    /// #     fn logits(&self, images: Tensor<4>) -> Tensor<2> { self.linear.forward(images.flatten(1, 3)) }
    /// # }
    /// # fn main() -> Result<(), twins_report::ReportError> {
    /// # let device = Device::flex();
    /// # let model = Flat { linear: LinearConfig::new(3 * 32 * 32, 10).init(&device) };
    /// let data = BuiltinDataset::new(Task::Target, Part::Test, 20, 0);
    /// let samples = stratified_samples(&data, 10, &device)?;
    /// let curve = RobustnessCurve::measure("best", &model, &samples, Norm::Linf, &[0.0, 0.1], 2)?;
    /// assert!(curve.points[1].1.correct <= curve.points[0].1.correct);
    /// # Ok(())
    /// # }
    /// ```
    pub fn measure<M: ImageClassifier + Sync>(
        label: impl Into<String>,
        model: &M,
        samples: &Samples,
        norm: Norm,
        radii: &[f64],
        steps: usize,
    ) -> Result<Self, ReportError> {
        let victim = model.valid();
        let logits = |images: Tensor<4>| victim.logits(images);
        let mut radii = radii.to_vec();
        radii.sort_by(f64::total_cmp);
        let predicted = predictions(&logits, samples)?;
        let mut standing: Vec<usize> =
            (0..samples.len()).filter(|&index| predicted[index] == samples.labels()[index]).collect();
        let mut points = Vec::with_capacity(radii.len());
        for radius in radii {
            let threat = ThreatModel::new(norm, radius as f32)?;
            let attack = PgdConfig::new(threat, steps, radius as f32 / 4.0).build()?;
            if radius > 0.0 && !standing.is_empty() {
                let output = attack.run(&logits, &choose(samples, &standing)?)?;
                standing = standing
                    .into_iter()
                    .zip(output.fooled)
                    .filter(|pair| !pair.1)
                    .map(|pair| pair.0)
                    .collect();
            }
            points.push((radius, Accuracy { correct: standing.len(), total: samples.len() }));
        }
        Ok(Self { label: label.into(), norm, steps, points })
    }
}

/// Accuracy under one attack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttackScore {
    /// The attack.
    pub attack: String,
    /// Accuracy of the model under it.
    pub accuracy: Accuracy,
    /// Seconds that it took; `None` where that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl AttackScore {
    /// A score that was measured elsewhere.
    pub fn new(attack: impl Into<String>, accuracy: Accuracy) -> Self {
        Self { attack: attack.into(), accuracy, seconds: None }
    }

    /// Runs an attack on samples; the model is used as `model.valid()`.
    ///
    /// # Errors
    ///
    /// Those of the attack.
    pub fn measure<M: ImageClassifier + Sync>(
        attack: impl Into<String>,
        model: &M,
        samples: &Samples,
        with: &dyn Attack,
    ) -> Result<Self, ReportError> {
        let victim = model.valid();
        let begin = Instant::now();
        let output = with.run(&|images: Tensor<4>| victim.logits(images), samples)?;
        let correct = output.predictions.iter().zip(&output.labels).filter(|(p, y)| p == y).count();
        let accuracy = Accuracy { correct, total: samples.len() };
        Ok(Self { attack: attack.into(), accuracy, seconds: Some(begin.elapsed().as_secs_f64()) })
    }
}

/// Some of the samples, with their numbers.
pub(crate) fn choose(samples: &Samples, indices: &[usize]) -> Result<Samples, ReportError> {
    let [channels, height, width] = samples.image_shape();
    let pixels: Vec<f32> = indices.iter().flat_map(|&index| samples.image(index)).copied().collect();
    let data = TensorData::new(pixels, [indices.len(), channels, height, width]);
    let labels = indices.iter().map(|&index| samples.labels()[index]).collect();
    let ids = indices.iter().map(|&index| samples.ids()[index]).collect();
    Ok(Samples::new(Tensor::from_data(data, samples.device()), labels)?
        .with_ids(ids)?
        .with_batch_size(samples.batch_size())?)
}

#[cfg(test)]
mod tests {
    use twins_data::{BuiltinDataset, Part, Task};

    use super::*;
    use crate::two_pixels::TwoPixels;

    #[test]
    fn the_curve_falls_where_the_margins_end() {
        let device = Device::flex();
        let model = TwoPixels::new(&device.clone().autodiff());
        // Margins 0.1, 0.2, 0.4, and one that is misclassified: they fall beyond 0.05, 0.1 and 0.2.
        let images = [[0.5, 0.4], [0.5, 0.3], [0.6, 0.2], [0.3, 0.6]];
        let images = images.map(|[a, b]| [[[a, b]]]);
        let samples = Samples::new(Tensor::from_floats(images, &device), vec![0; 4]).unwrap();
        let radii = [0.15, 0.0, 0.04, 0.06, 0.3];
        let curve = RobustnessCurve::measure("best", &model, &samples, Norm::Linf, &radii, 8).unwrap();
        let found: Vec<(f64, usize)> = curve.points.iter().map(|(r, a)| (*r, a.correct)).collect();
        assert_eq!(found, [(0.0, 3), (0.04, 3), (0.06, 2), (0.15, 1), (0.3, 0)]);

        let threat = ThreatModel::new(Norm::Linf, 0.15).unwrap();
        let fgsm = PgdConfig::fgsm(threat).build().unwrap();
        let score = AttackScore::measure("FGSM", &model, &samples, &fgsm).unwrap();
        assert_eq!((score.accuracy.correct, score.accuracy.total), (1, 4));
    }

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

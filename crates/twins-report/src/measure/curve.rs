use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use twins_attack::{Attack, Norm, PgdConfig, Samples, ThreatModel, predictions};
use twins_nn::ImageClassifier;
use twins_train::Accuracy;

use crate::error::ReportError;

/// Accuracy as a function of the radius of the threat model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RobustnessCurve {
    /// The checkpoint, such as `best` or `last`.
    pub label: String,
    /// The norm of the threat model.
    pub norm: Norm,
    /// The number of PGD steps.
    pub steps: usize,
    /// Pairs of a radius, on the [0, 1] scale, and the accuracy within it, in ascending order of the radius.
    pub points: Vec<(f64, Accuracy)>,
}

impl RobustnessCurve {
    /// Measures a model with PGD, starting from the clean image, with steps of a quarter of the radius.
    ///
    /// An image that is misclassified within one radius counts as misclassified within every larger radius, because the
    /// larger ball contains the adversarial example. Such an image is not attacked again, and the curve never rises.
    ///
    /// # Errors
    ///
    /// [`ReportError::Attack`] for a radius that is negative or NaN, for zero steps, and for labels that the model has no
    /// class for.
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
        let mut correct: Vec<usize> =
            (0..samples.len()).filter(|&index| predicted[index] == samples.labels()[index]).collect();
        let mut points = Vec::with_capacity(radii.len());
        for radius in radii {
            let threat = ThreatModel::new(norm, radius as f32)?;
            let attack = PgdConfig::new(threat, steps, radius as f32 / 4.0).build()?;
            if radius > 0.0 && !correct.is_empty() {
                let output = attack.run(&logits, &choose(samples, &correct)?)?;
                correct = correct
                    .into_iter()
                    .zip(output.fooled)
                    .filter(|pair| !pair.1)
                    .map(|pair| pair.0)
                    .collect();
            }
            points.push((radius, Accuracy { correct: correct.len(), total: samples.len() }));
        }
        Ok(Self { label: label.into(), norm, steps, points })
    }
}

/// Selects the samples at the given indices and keeps their ids.
fn choose(samples: &Samples, indices: &[usize]) -> Result<Samples, ReportError> {
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
    use burn::tensor::Device;

    use super::*;
    use crate::measure::two_pixels::TwoPixels;

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
    }
}

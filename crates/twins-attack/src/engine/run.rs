use burn::tensor::Tensor;

use super::attack::{Attack, check_counts};
use super::criterion::Criterion;
use super::stage::Stage;
use super::targets::Targets;
use super::task::{Completed, Cost, Results, Tally};
use super::verification::{Verification, VerificationRule};
use super::workers;
use crate::error::AttackError;
use crate::losses::ranking::argmax;
use crate::model::classifier::Classifier;
use crate::model::clean::CleanLogits;
use crate::model::inference_form::check_gradient_pass;
use crate::samples::in_memory::Samples;

/// The result of an attack on a batch.
///
/// It provides two rates: [`robust_accuracy`](Self::robust_accuracy) measures how often the label is still predicted,
/// and [`success_rate`](Self::success_rate) measures how often the attack met its criterion. They are complementary
/// only if the model classifies every clean sample correctly and the criterion is [`Criterion::Misclassified`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{Attack, Criterion, Norm, PgdConfig, Samples, Targets, ThreatModel};
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let images = [[[[0.5, 0.4, 0.4]]], [[[0.9, 0.1, 0.0]]], [[[0.1, 0.9, 0.0]]]];
/// let samples = Samples::new(Tensor::from_floats(images, &Device::flex()), vec![0, 0, 0])?;
/// let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.1)?, 5, 0.05);
/// let pgd = pgd.with_targets(Targets::LeastLikely).with_criterion(Criterion::ClassifiedAsTarget);
/// let output = pgd.build()?.run(&victim, &samples)?;
/// // The first image reaches its target, class 2, and the second does not; the third is misclassified without an attack.
/// assert_eq!((output.fooled.clone(), output.attacked.clone()), (vec![true, false, false], vec![true, true, false]));
/// assert_eq!((output.robust_accuracy(), output.success_rate()), (1.0 / 3.0, Some(0.5)));
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone)]
pub struct AttackOutput {
    /// The images returned by the attack, `[samples, channels, height, width]`, inside the threat model. They are
    /// adversarial where the attack succeeded. Elsewhere they are the strongest images found, or the clean image if the
    /// attack ended outside the threat model.
    pub adversarial: Tensor<4>,
    /// Whether the returned image of each sample meets the attack's [`Criterion`], as verified in a fresh forward pass. (With
    /// [`Returned::BestLoss`](crate::Returned::BestLoss), it can fail although an earlier run of the attack succeeded; an
    /// evaluation counts that run.) A clean image that
    /// is misclassified without an attack meets [`Criterion::Misclassified`]. It also meets
    /// [`Criterion::ClassifiedAsTarget`] if the model predicts the target given with the samples.
    pub fooled: Vec<bool>,
    /// The class that the model predicts for each adversarial image.
    pub predictions: Vec<usize>,
    /// The correct class of each sample.
    pub labels: Vec<usize>,
    /// Whether each sample was attacked, which is the case if the model classifies its clean image correctly.
    pub attacked: Vec<bool>,
    /// The number of images that were run through the model.
    pub forwards: u64,
    /// The number of those images for which a gradient was computed.
    pub backwards: u64,
    /// The results of checking the images that the attack claimed.
    pub verification: Verification,
}

impl AttackOutput {
    /// The fraction of all samples whose adversarial image is still classified correctly, in [0, 1].
    pub fn robust_accuracy(&self) -> f64 {
        let robust = self.predictions.iter().zip(&self.labels).filter(|(p, y)| p == y).count();
        robust as f64 / self.labels.len() as f64
    }

    /// The fraction of the attacked samples on which the attack met its criterion, in [0, 1]; `None` if none was attacked.
    pub fn success_rate(&self) -> Option<f64> {
        let attacked = self.attacked.iter().filter(|attacked| **attacked).count();
        let reached = self.fooled.iter().zip(&self.attacked).filter(|(f, a)| **f && **a).count();
        (attacked > 0).then(|| reached as f64 / attacked as f64)
    }
}

pub(super) fn run(
    attack: &dyn Attack,
    victim: &(dyn Classifier + Sync),
    samples: &Samples,
) -> Result<AttackOutput, AttackError> {
    check_counts(attack)?;
    let stream = samples.stream();
    let clean = CleanLogits::compute(victim, &stream)?;
    let predictions: Vec<usize> = clean.rows().map(argmax).collect();
    let attacked: Vec<bool> = predictions.iter().zip(samples.labels()).map(|(p, y)| p == y).collect();
    // With an epsilon of 0, no image but the clean one is allowed.
    let allowed = attack.threat_model().epsilon() > 0.0;
    let standing: Vec<usize> = (0..samples.len()).filter(|&i| attacked[i] && allowed).collect();
    let reached = |i: usize| match (attack.criterion(), attack.targets()) {
        (Criterion::Misclassified, _) | (_, Targets::None) => true,
        (Criterion::ClassifiedAsTarget, Targets::Given) => stream.source().target(i) == Some(predictions[i]),
        // The other targets depend on how a correct prediction ranks the classes.
        (Criterion::ClassifiedAsTarget, _) => false,
    };
    let fooled = (0..samples.len()).map(|i| !attacked[i] && reached(i)).collect();
    let mut cost = Cost { forwards: clean.forwards(), backwards: 0 };
    if attack.uses_gradients() && !standing.is_empty() {
        cost += check_gradient_pass(victim, samples.device(), &stream, &clean)?;
    }
    let tally = Tally { cost, ..Tally::default() };
    let mut batch = Batch { pixels: samples.pixels().to_vec(), predictions, fooled, tally };
    let rule = VerificationRule::default();
    let (device, occurrence) = (samples.device(), 0);
    let stage = Stage { attack, victim, device, samples: &stream, clean: &clean, rule, occurrence };
    workers::drive(&[stage], &standing, &mut batch)?;
    Ok(AttackOutput {
        adversarial: samples.upload(batch.pixels),
        fooled: batch.fooled,
        predictions: batch.predictions,
        labels: samples.labels().to_vec(),
        attacked,
        forwards: batch.tally.cost.forwards,
        backwards: batch.tally.cost.backwards,
        verification: batch.tally.verification,
    })
}

/// The results of all samples.
struct Batch {
    pixels: Vec<f32>,
    predictions: Vec<usize>,
    fooled: Vec<bool>,
    tally: Tally,
}

impl Results for Batch {
    fn completed(&mut self, completed: Completed) -> Result<(), AttackError> {
        let Completed { index, finding, tally, .. } = completed;
        let row = finding.point.len();
        self.pixels[index * row..(index + 1) * row].copy_from_slice(&finding.point);
        self.predictions[index] = argmax(&finding.logits);
        self.fooled[index] = finding.fooled;
        self.tally += tally;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::attacks::pgd::config::PgdConfig;
    use crate::norms::norm::Norm;
    use crate::norms::threat_model::ThreatModel;

    #[test]
    fn rates_are_of_all_samples_and_of_those_that_were_attacked() {
        let output = |attacked: [bool; 5]| AttackOutput {
            adversarial: Tensor::zeros([5, 1, 1, 1], &Device::flex()),
            fooled: vec![true, false, false, false, true],
            predictions: vec![1, 0, 0, 0, 1],
            labels: vec![0; 5],
            attacked: attacked.to_vec(),
            forwards: 0,
            backwards: 0,
            verification: Verification::default(),
        };
        let some = output([true, true, true, true, false]);
        assert_eq!((some.robust_accuracy(), some.success_rate()), (0.6, Some(0.25)));
        assert_eq!(output([false; 5]).success_rate(), None);
    }

    #[test]
    fn a_clean_image_that_is_predicted_as_its_target_meets_the_criterion() {
        let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
        let images = [[[[0.1, 0.9, 0.0]]], [[[0.1, 0.9, 0.0]]], [[[0.9, 0.1, 0.0]]]];
        let samples = Samples::new(Tensor::from_floats(images, &Device::flex()), vec![0, 0, 0]).unwrap();
        let samples = samples.with_targets(vec![1, 2, 1]).unwrap();
        let config = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.1).unwrap(), 2, 0.05);
        let run = |config: PgdConfig| config.build().unwrap().run(&victim, &samples).unwrap();
        let targeted = config.clone().with_criterion(Criterion::ClassifiedAsTarget);
        let given = run(targeted.clone().with_targets(Targets::Given));
        assert_eq!((given.attacked, given.fooled), (vec![false, false, true], vec![true, false, false]));
        assert_eq!(run(targeted.with_targets(Targets::LeastLikely)).fooled, [false; 3]);
        assert_eq!(run(config).fooled, [true, true, false]);
    }
}

use burn::tensor::Tensor;

use crate::engine::goal::{Goal, RunSelection};
use crate::engine::search::{Search, Subject};
use crate::engine::stage::Stage;
use crate::engine::task::{Cost, Ended, Tally, Watch};
use crate::engine::verification::{Verification, VerificationRule};
use crate::error::AttackError;
use crate::model::classifier::Classifier;
use crate::model::classifier::argmax;
use crate::model::clean::CleanLogits;
use crate::model::inference_form::check_gradient_pass;
use crate::norms::threat_model::ThreatModel;
use crate::samples::samples::Samples;

/// An attack: a way to look for an image within a [`ThreatModel`] that the model misclassifies.
///
/// To write one, give a [`Search`] for one sample; batching, leaving the batch when fooled, counting, restarts and
/// ensembles come with [`Attack::run`] and the combinators.
pub trait Attack: AsAttack + Send + Sync {
    /// Name under which the attack is reported, and which keys its draws.
    fn name(&self) -> String;

    /// The perturbations allowed.
    fn threat_model(&self) -> ThreatModel;

    /// How many runs the attack makes on a sample that withstands, one for each target, say.
    ///
    /// Run `r` is made with target `r % runs` in restart `r / runs`.
    fn runs(&self, classes: usize) -> usize {
        let _ = classes;
        1
    }

    /// How the runs on one sample are combined; points are compared by [`Finding::loss`](crate::Finding::loss).
    fn run_selection(&self) -> RunSelection {
        RunSelection::FirstFooled
    }

    /// What counts as success.
    fn goal(&self) -> Goal {
        Goal::Untargeted
    }

    /// How many times each question is put to a randomised model, the gradients being averaged (expectation over
    /// transformation, Athalye et al. 2018).
    fn repeats(&self) -> usize {
        1
    }

    /// Whether a search ever asks for a gradient; if so, a run first compares a gradient pass over a few images with the plain
    /// one, because a model in its training form differs there.
    fn uses_gradients(&self) -> bool {
        true
    }

    /// How many images of a sample that withstands go through the model, roughly: for estimates of the time left.
    fn budget(&self, classes: usize) -> u64;

    /// Starts a run on one sample.
    ///
    /// # Errors
    /// What the attack cannot do with this sample: a target that does not exist, too few classes, ...
    fn search<'a>(&'a self, subject: &Subject<'a>, run: usize) -> Result<Box<dyn Search + 'a>, AttackError>;

    /// Attacks the samples that the model classifies correctly; the others are returned unchanged.
    ///
    /// What the attack claims is checked again in a fresh forward pass (see [`VerificationRule`]); a claim that does not
    /// hold is counted in [`AttackOutput::verification`] and the next run of the attack, if there is one, is made.
    ///
    /// # Errors
    /// Data that do not fit the model (labels, number of classes), logits that are not finite, a model without
    /// gradients or in its training form, and what the attack cannot do.
    fn run(&self, victim: &(dyn Classifier + Sync), samples: &Samples) -> Result<AttackOutput, AttackError> {
        run(self.as_attack(), victim, samples)
    }
}

/// Turns an attack into a trait object, so that the provided [`Attack::run`] works on sized attacks and on trait
/// objects alike; implemented for every attack.
pub trait AsAttack {
    /// The attack behind a reference to the trait.
    fn as_attack(&self) -> &dyn Attack;
}

impl<A: Attack> AsAttack for A {
    fn as_attack(&self) -> &dyn Attack {
        self
    }
}

/// What an attack has done to a batch.
///
/// It has two rates, which are complementary only if the model classifies every clean sample correctly and the goal is
/// untargeted: [`robust_accuracy`](Self::robust_accuracy) asks whether the label is still predicted, and
/// [`success_rate`](Self::success_rate) whether the attack reached its [`Goal`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{Attack, Goal, Norm, PgdConfig, Samples, ThreatModel};
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let images = [[[[0.5, 0.4, 0.4]]], [[[0.9, 0.1, 0.0]]], [[[0.1, 0.9, 0.0]]]];
/// let samples = Samples::new(Tensor::from_floats(images, &Device::flex()), vec![0, 0, 0])?;
/// let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.1)?, 5, 0.05).with_goal(Goal::LeastLikely);
/// let output = pgd.build()?.run(&victim, &samples)?;
/// // The first image reaches its target, class 2, and the second does not; the third is misclassified without an attack.
/// assert_eq!((output.fooled.clone(), output.attacked.clone()), (vec![true, false, false], vec![true, true, false]));
/// assert_eq!((output.robust_accuracy(), output.success_rate()), (1.0 / 3.0, Some(0.5)));
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone)]
pub struct AttackOutput {
    /// The attack's images `[samples, channels, height, width]`, inside the threat model: adversarial ones where the
    /// attack succeeded, its strongest ones elsewhere (the clean image if that lay outside).
    pub adversarial: Tensor<4>,
    /// Whether the attack reached its [`Goal`] on each sample: another prediction than the label, or in a targeted attack
    /// the target, as verified in a fresh forward pass. A clean image that is misclassified reaches the goal of an untargeted attack, and of a targeted one if
    /// its prediction is the given target.
    pub fooled: Vec<bool>,
    /// The class that the model predicts for each adversarial image.
    pub predictions: Vec<usize>,
    /// The correct class of each sample.
    pub labels: Vec<usize>,
    /// Whether the sample was attacked: the model classifies its clean image correctly.
    pub attacked: Vec<bool>,
    /// How many images were run through the model.
    pub forwards: u64,
    /// For how many of those a gradient was computed.
    pub backwards: u64,
    /// What came of checking the images that the attack claimed.
    pub verification: Verification,
}

impl AttackOutput {
    /// The share of all samples whose adversarial image is still classified as labelled, in [0, 1].
    pub fn robust_accuracy(&self) -> f64 {
        let robust = self.predictions.iter().zip(&self.labels).filter(|(p, y)| p == y).count();
        robust as f64 / self.labels.len() as f64
    }

    /// The share of the attacked samples on which the attack reached its goal, in [0, 1]; `None` if none was attacked.
    pub fn success_rate(&self) -> Option<f64> {
        let attacked = self.attacked.iter().filter(|attacked| **attacked).count();
        let reached = self.fooled.iter().zip(&self.attacked).filter(|(f, a)| **f && **a).count();
        (attacked > 0).then(|| reached as f64 / attacked as f64)
    }
}

fn run(
    attack: &dyn Attack,
    victim: &(dyn Classifier + Sync),
    samples: &Samples,
) -> Result<AttackOutput, AttackError> {
    let stream = samples.stream();
    let clean = CleanLogits::compute(victim, &stream)?;
    let predictions: Vec<usize> = clean.rows().map(argmax).collect();
    let attacked: Vec<bool> = predictions.iter().zip(samples.labels()).map(|(p, y)| p == y).collect();
    let standing: Vec<usize> = (0..samples.len()).filter(|&i| attacked[i]).collect();
    let reached = |i: usize| match attack.goal() {
        Goal::Untargeted => true,
        Goal::Given => stream.source().target(i) == Some(predictions[i]),
        // The classes that the others aim at depend on how a correct prediction ranks them.
        Goal::Rank(_) | Goal::LeastLikely => false,
    };
    let fooled = (0..samples.len()).map(|i| !attacked[i] && reached(i)).collect();
    let mut cost = Cost { forwards: clean.forwards(), backwards: 0 };
    if attack.uses_gradients() && !standing.is_empty() && attack.threat_model().epsilon() > 0.0 {
        cost += check_gradient_pass(victim, samples.device(), &stream, &clean)?;
    }
    let tally = Tally { cost, ..Tally::default() };
    let mut results = Results { pixels: samples.pixels().to_vec(), predictions, fooled, tally };
    let rule = VerificationRule::default();
    let stage = Stage { attack, victim, device: samples.device(), samples: &stream, clean: &clean, rule };
    stage.drive(&standing, &mut results)?;
    Ok(AttackOutput {
        adversarial: samples.upload(results.pixels),
        fooled: results.fooled,
        predictions: results.predictions,
        labels: samples.labels().to_vec(),
        attacked,
        forwards: results.tally.cost.forwards,
        backwards: results.tally.cost.backwards,
        verification: results.tally.verification,
    })
}

struct Results {
    pixels: Vec<f32>,
    predictions: Vec<usize>,
    fooled: Vec<bool>,
    tally: Tally,
}

impl Watch for Results {
    fn finished(&mut self, ended: Ended) -> Result<(), AttackError> {
        let Ended { index, finding, tally, .. } = ended;
        let row = finding.point.len();
        self.pixels[index * row..(index + 1) * row].copy_from_slice(&finding.point);
        self.predictions[index] = argmax(&finding.logits);
        self.fooled[index] = finding.fooled;
        self.tally += tally;
        Ok(())
    }
}

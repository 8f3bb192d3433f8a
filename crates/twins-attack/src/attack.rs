use burn::tensor::Tensor;

use crate::classifier::argmax;
use crate::clean::CleanLogits;
use crate::engine::{Cost, Stage, Tally, Watch};
use crate::inference_form::check_gradient_pass;
use crate::{
    AttackError, Classifier, Finding, Samples, Search, Subject, ThreatModel, Verification, VerificationRule,
};

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

    /// Attacks the samples. Samples that the model misclassifies already are returned unchanged.
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
#[derive(Debug, Clone)]
pub struct AttackOutput {
    /// The attack's images `[samples, channels, height, width]`, inside the threat model: misclassified ones where the
    /// attack succeeded, what it ended with elsewhere (the clean image if that lay outside).
    pub adversarial: Tensor<4>,
    /// Whether the attack reached its goal on each sample, as verified in a fresh forward pass (also true where the clean
    /// image is misclassified).
    pub fooled: Vec<bool>,
    /// The class that the model sees in each adversarial image.
    pub predictions: Vec<usize>,
    /// How many images were run through the model.
    pub forwards: u64,
    /// For how many of those a gradient was computed.
    pub backwards: u64,
    /// What came of checking the images that the attack claimed.
    pub verification: Verification,
}

impl AttackOutput {
    /// The share of the samples that the attack did not fool, in [0, 1].
    pub fn robust_accuracy(&self) -> f64 {
        self.fooled.iter().filter(|fooled| !**fooled).count() as f64 / self.fooled.len() as f64
    }
}

fn run(
    attack: &dyn Attack,
    victim: &(dyn Classifier + Sync),
    samples: &Samples,
) -> Result<AttackOutput, AttackError> {
    let clean = CleanLogits::compute(victim, samples)?;
    let predictions: Vec<usize> = clean.rows().map(argmax).collect();
    let fooled: Vec<bool> = predictions.iter().zip(samples.labels()).map(|(p, y)| p != y).collect();
    let standing: Vec<usize> = (0..samples.len()).filter(|&i| !fooled[i]).collect();
    let mut cost = Cost { forwards: clean.forwards(), backwards: 0 };
    if attack.uses_gradients() && !standing.is_empty() && attack.threat_model().epsilon() > 0.0 {
        cost += check_gradient_pass(victim, samples.device(), samples, &clean)?;
    }
    let tally = Tally { cost, ..Tally::default() };
    let mut results = Results { pixels: samples.pixels().to_vec(), predictions, fooled, tally };
    let rule = VerificationRule::default();
    let stage = Stage { attack, victim, device: samples.device(), samples, clean: &clean, rule };
    stage.drive(&standing, &mut results)?;
    Ok(AttackOutput {
        adversarial: samples.upload(results.pixels),
        fooled: results.fooled,
        predictions: results.predictions,
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
    fn finished(&mut self, index: usize, finding: Finding, tally: Tally) -> Result<(), AttackError> {
        let row = finding.point.len();
        self.pixels[index * row..(index + 1) * row].copy_from_slice(&finding.point);
        self.predictions[index] = argmax(&finding.logits);
        self.fooled[index] = finding.fooled;
        self.tally += tally;
        Ok(())
    }
}

use std::fmt::Debug;
use std::pin::Pin;

use super::criterion::Criterion;
use super::finding::{Finding, RunSelection};
use super::query::Model;
use super::run::{AttackOutput, run};
use super::sample::Sample;
use super::targets::Targets;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::model::classifier::Classifier;
use crate::norms::threat_model::ThreatModel;
use crate::samples::in_memory::Samples;

/// A run of an attack on one sample, as a future that resolves to its [`Finding`].
pub type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Finding, AttackError>> + Send + 'a>>;

/// An attack: a method that searches for an image within a [`ThreatModel`] that the model misclassifies.
///
/// To write an attack, implement [`attack`](Attack::attack), which attacks one sample. The engine provides batching,
/// removal of fooled samples from the batch, counting, targets, restarts, verification and evaluations.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{Attack, Attempt, Loss, Model, Norm, Sample, Samples, ThreatModel};
///
/// /// Follows the sign of the gradient, and tries half the step if that is enough.
/// #[derive(Debug)]
/// struct TwoSizes(ThreatModel);
///
/// impl Attack for TwoSizes {
///     fn name(&self) -> String {
///         "two-sizes".to_owned()
///     }
///
///     fn threat_model(&self) -> ThreatModel {
///         self.0
///     }
///
///     fn passes(&self, _classes: usize) -> u64 {
///         3
///     }
///
///     fn attack<'a>(&'a self, sample: Sample<'a>, mut model: Model) -> Attempt<'a> {
///         Box::pin(async move {
///             let loss = sample.objective(Loss::CrossEntropy)?;
///             let gradient = model.gradient(&sample.image, |z, c| loss.evaluate(z, c)).await.gradient;
///             let point = |size: f32| -> Vec<f32> {
///                 let moved = sample.image.iter().zip(&gradient).map(|(x, g)| x + size * g.signum());
///                 moved.map(|x| x.clamp(0.0, 1.0)).collect()
///             };
///             let (half, full) = (point(self.0.epsilon() / 2.0), point(self.0.epsilon()));
///             let at_half = model.logits(&half).await;
///             if at_half.fooled {
///                 return Ok(at_half.finding_at(half));
///             }
///             Ok(model.logits(&full).await.finding_at(full))
///         })
///     }
/// }
///
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let images = Tensor::from_floats([[[[0.6, 0.5]]], [[[0.9, 0.1]]]], &Device::flex());
/// let output = TwoSizes(ThreatModel::new(Norm::Linf, 0.1)?).run(&victim, &Samples::new(images, vec![0, 0])?)?;
/// assert_eq!(output.fooled, [true, false]);
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
pub trait Attack: AsAttack + Debug + Send + Sync {
    /// The name of the attack in reports. An attack usually keys its random draws with it
    /// ([`Sample::draws`]). PGD has one key for all its forms and numbers of steps, so that they start at the same points.
    fn name(&self) -> String;

    /// The perturbations that are allowed.
    fn threat_model(&self) -> ThreatModel;

    /// The classes that the attack aims at, one run per class.
    fn targets(&self) -> Targets {
        Targets::None
    }

    /// How many times the attack is run, each time with different random draws; at least 1.
    fn restarts(&self) -> usize {
        1
    }

    /// The number of runs on a sample that the attack does not fool; at least 1.
    fn runs(&self, classes: usize) -> usize {
        self.restarts() * self.targets().runs(classes)
    }

    /// How the runs on one sample are combined. Points are compared by [`Finding::loss`].
    fn run_selection(&self) -> RunSelection {
        RunSelection::FirstFooled
    }

    /// What counts as success.
    fn criterion(&self) -> Criterion {
        Criterion::Misclassified
    }

    /// How many gradients of each image are computed and averaged (expectation over transformation, Athalye et al.
    /// 2018), for randomised models; at least 1.
    fn eot(&self) -> usize {
        1
    }

    /// Whether the attack ever requests a gradient. If so, [`Attack::run`] first compares a gradient pass over a few
    /// images with a plain pass, because the two differ if the model is in its training form.
    fn uses_gradients(&self) -> bool {
        true
    }

    /// The approximate number of images that one run puts through the model on a sample that it does not fool. It is
    /// used to estimate the remaining time.
    fn passes(&self, classes: usize) -> u64;

    /// The approximate number of images that all runs put through the model on a sample that the attack does not fool,
    /// including the choice of the targets.
    fn budget(&self, classes: usize) -> u64 {
        let choice = self.eot() * self.targets().choice_gradients(classes);
        choice as u64 + self.runs(classes) as u64 * self.passes(classes)
    }

    /// Runs the attack once on one sample.
    ///
    /// The attack must await nothing but the responses of the model.
    ///
    /// # Errors
    /// An error if the attack cannot handle this sample, for example a loss that is not defined for the number of
    /// classes.
    fn attack<'a>(&'a self, sample: Sample<'a>, model: Model) -> Attempt<'a>;

    /// Attacks the samples that the model classifies correctly; the others are returned unchanged.
    ///
    /// Every success that the attack claims is checked again in a fresh forward pass (see
    /// [`VerificationRule`](crate::VerificationRule)). A claim that fails the check is counted in
    /// [`AttackOutput::verification`], and the attack proceeds with its next run on the sample, if there is one.
    ///
    /// # Errors
    /// Data that do not fit the model (labels, number of classes); logits that are not finite; a model without
    /// gradients or in its training form; [`SettingError::ZeroCount`](crate::SettingError::ZeroCount); errors of the
    /// attack itself.
    fn run(&self, victim: &(dyn Classifier + Sync), samples: &Samples) -> Result<AttackOutput, AttackError> {
        run(self.as_attack(), victim, samples)
    }
}

/// Checks the numbers of targets, restarts and repeated passes. A custom attack may take them from settings that have not
/// been checked.
pub(crate) fn check_counts(attack: &dyn Attack) -> Result<(), AttackError> {
    let counts = [
        (attack.targets().wanted(), "targets"),
        (attack.restarts(), "restarts"),
        (attack.eot(), "EOT repetitions"),
    ];
    match counts.into_iter().find(|(count, _)| *count == 0) {
        Some((_, what)) => Err(SettingError::ZeroCount { attack: attack.name(), what }.into()),
        None => Ok(()),
    }
}

/// Converts an attack to a trait object, so that the provided [`Attack::run`] works on sized attacks and on trait
/// objects alike. It is implemented for every attack.
pub trait AsAttack {
    /// Returns the attack as a reference to a trait object.
    fn as_attack(&self) -> &dyn Attack;
}

impl<A: Attack> AsAttack for A {
    fn as_attack(&self) -> &dyn Attack {
        self
    }
}

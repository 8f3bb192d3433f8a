use serde::{Deserialize, Serialize};
use twins_nn::{ImageClassifier, Wing};

use super::branched::Branched;
use super::cross_entropy::cross_entropy;
use super::divergence::divergence;
use super::objective::{Loss, Objective, TrainingBatch};
use crate::metrics::Accuracy;

/// AutoLoRa: clean images train a low-rank branch, adversarial images the model, with the branch's predictions as soft
/// labels.
///
/// ```text
/// L = l₁ · CE(h(x), y) + (1 − l₁) · CE(f(x'), y) + l₂ · KL(softmax h(x) ‖ softmax f(x'))
/// ```
///
/// Where f is the model and h its natural branch ([`Branched`]), which ends with the same head. The natural pass runs
/// before the adversarial one; both use the same normalisation layers and update their running statistics. Gradients of
/// h reach the branch and the head alone; those of the divergence flow through both sides. Source: Xu, Zhang,
/// Kankanhalli, "AutoLoRa: An Automated Robust Fine-Tuning Framework", ICLR 2024, as the authors' code has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutoLora {
    /// l₁, the weight of the branch's cross-entropy, in [0, 1].
    pub natural: f64,
    /// l₂, the weight of the divergence.
    pub divergence: f64,
}

impl<M: ImageClassifier> Objective<Branched<M>> for AutoLora {
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    fn loss(&self, model: &Branched<M>, batch: &TrainingBatch) -> Loss {
        let natural = model.natural().logits(batch.clean.clone());
        let logits = model.logits(batch.adversarial.clone());
        let total = cross_entropy(natural.clone(), batch.labels.clone()).mul_scalar(self.natural)
            + cross_entropy(logits.clone(), batch.labels.clone()).mul_scalar(1.0 - self.natural)
            + divergence(natural, logits.clone()).mul_scalar(self.divergence);
        Loss { adaptive: total.clone(), total, frozen: None, logits }
    }
}

/// The branch of [`AutoLora`] and the schedule of its two weights.
///
/// ```text
/// l₁ = 1 − s^alpha,   l₂ = divergence · s^alpha
/// ```
///
/// Where s is the branch's clean accuracy on the training images, measured in evaluation mode and without augmentation
/// when an epoch begins. The authors' code has alpha = 1 throughout and measures at the same moments (with augmentation).
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `rank` | 8 | of the branch, at most the smaller side of every weight's matrix | ≥ 1 |
/// | `divergence` | 6 | largest weight of the divergence | ≥ 0 |
/// | `alpha` | 1 | exponent of the accuracy | > 0 |
///
/// ```
/// use twins_train::{Accuracy, AutoLoraConfig};
///
/// let objective = AutoLoraConfig::default().objective(Accuracy { correct: 3, total: 4 });
/// assert_eq!((objective.natural, objective.divergence), (0.25, 4.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoLoraConfig {
    /// Rank of the branch.
    pub rank: usize,
    /// Largest weight of the divergence.
    pub divergence: f64,
    /// Exponent of the accuracy.
    pub alpha: f64,
}

impl Default for AutoLoraConfig {
    fn default() -> Self {
        Self { rank: 8, divergence: 6.0, alpha: 1.0 }
    }
}

impl AutoLoraConfig {
    /// The published setting with another rank.
    pub fn new(rank: usize) -> Self {
        Self { rank, ..Self::default() }
    }

    /// The objective at a clean accuracy of the branch.
    pub fn objective(&self, natural: Accuracy) -> AutoLora {
        let trust = natural.fraction().powf(self.alpha);
        AutoLora { natural: 1.0 - trust, divergence: self.divergence * trust }
    }
}

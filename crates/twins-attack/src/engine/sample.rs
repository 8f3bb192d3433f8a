use std::sync::{Arc, OnceLock};

use crate::draws::Draws;
use crate::engine::finding::Finding;
use crate::error::AttackError;
use crate::losses::loss::Loss;
use crate::losses::objective::Objective;
use crate::norms::threat_model::ThreatModel;

/// One sample in one run of an attack.
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    /// The number of the sample in its data set. It keys the random draws.
    pub id: u64,
    /// The values of the clean image in [0, 1], channels first.
    pub image: Arc<[f32]>,
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// The correct class.
    pub label: usize,
    /// The class that this run aims at (see [`Targets`](crate::Targets)), or `None` if the run is untargeted.
    pub target: Option<usize>,
    /// The point from which the attack should start, if one was given; `None` in restarts, which choose their own.
    pub start: Option<&'a [f32]>,
    /// The model's logits of the clean image.
    pub clean: &'a [f32],
    /// The number of the run, which keys its random draws. It counts the targets of the first restart, then those of
    /// the second, and so on.
    pub run: usize,
    /// The number of the restart.
    pub restart: usize,
    /// The number of earlier attacks of the evaluation with the same name and threat model. It keys the random draws
    /// too.
    pub occurrence: usize,
    /// The classes in the order of [`Targets::Malt`](crate::Targets::Malt). All runs on a sample share it; the first
    /// run computes it.
    pub(crate) malt_order: Arc<OnceLock<Vec<usize>>>,
}

impl Sample<'_> {
    /// Returns the random draws of this run. They depend on the seed, the sample, the attack's name and the run. If an
    /// evaluation has several attacks with the same name and threat model, they also depend on the attack's number
    /// among these.
    pub fn draws(&self, seed: u64, attack: &str) -> Draws {
        let run = self.run as u64;
        match self.occurrence {
            0 => Draws::new(seed, self.id, attack, run),
            earlier => Draws::new(seed, self.id, &format!("{attack} #{}", earlier + 1), run),
        }
    }

    /// Returns the loss of this sample as a function of the logits, towards the target if there is one.
    ///
    /// # Errors
    /// [`AttackError::TooFewClasses`] or [`SettingError::TargetedKl`](crate::SettingError::TargetedKl) if the loss is
    /// not defined.
    pub fn objective(&self, loss: Loss) -> Result<Objective<'_>, AttackError> {
        loss.of(self.label, self.target, self.clean)
    }

    /// Returns the given starting point, if there is one, projected into the threat model, because an attack may return
    /// only points of the threat model.
    pub fn start_within(&self, threat: &ThreatModel) -> Option<Vec<f32>> {
        let mut start = self.start?.to_vec();
        threat.project(&self.image, &mut start);
        Some(start)
    }

    /// Returns the result of an attack that has found nothing: the clean image.
    pub fn nothing_found(&self) -> Finding {
        Finding::clean(&self.image, self.clean)
    }
}

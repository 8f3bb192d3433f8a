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
    /// Number of the sample in its data set, which keys its random draws.
    pub id: u64,
    /// Values of the clean image in [0, 1], channels first.
    pub image: Arc<[f32]>,
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// The right class.
    pub label: usize,
    /// The class that this run aims at (see [`Targets`](crate::Targets)); none if it only leads away from the label.
    pub target: Option<usize>,
    /// The point that the attack was told to start from.
    pub start: Option<&'a [f32]>,
    /// The model's logits of the clean image.
    pub clean: &'a [f32],
    /// Number of the run, which keys its random draws: it counts the targets of the first restart, then those of the
    /// second, and so on.
    pub run: usize,
    /// Number of the restart.
    pub restart: usize,
    /// How many earlier attacks of the evaluation have the same name and threat model, which draw other random numbers.
    pub occurrence: usize,
    /// The classes in the order of [`Targets::Malt`](crate::Targets::Malt), which the runs on a sample have in common: the
    /// first run computes it.
    pub(crate) malt_order: Arc<OnceLock<Vec<usize>>>,
}

impl Sample<'_> {
    /// The random draws of this run. They depend on the seed, the sample, the attack's name and the run, and for a second
    /// attack of this name in an evaluation on its number.
    pub fn draws(&self, seed: u64, attack: &str) -> Draws {
        let run = self.run as u64;
        match self.occurrence {
            0 => Draws::new(seed, self.id, attack, run),
            earlier => Draws::new(seed, self.id, &format!("{attack} #{}", earlier + 1), run),
        }
    }

    /// The loss of this sample as a function of the logits, towards the target if there is one.
    ///
    /// # Errors
    /// [`AttackError::TooFewClasses`] or [`SettingError::TargetedKl`](crate::SettingError::TargetedKl) if the loss is not defined.
    pub fn objective(&self, loss: Loss) -> Result<Objective<'_>, AttackError> {
        loss.of(self.label, self.target, self.clean)
    }

    /// The point that the attack was told to start from, moved into the threat model, whose points are the only ones that
    /// an attack may return.
    pub fn start_within(&self, threat: &ThreatModel) -> Option<Vec<f32>> {
        let mut start = self.start?.to_vec();
        threat.project(&self.image, &mut start);
        Some(start)
    }

    /// What an attack returns that has found nothing: the clean image.
    pub fn nothing_found(&self) -> Finding {
        Finding::clean(&self.image, self.clean)
    }
}

use serde::{Deserialize, Serialize};
use twins_train::{Accuracy, Best, BestSource, EpochMetrics, TrainConfig};

use crate::error::ReportError;
use crate::measure::curve::RobustnessCurve;
use crate::measure::gallery::Gallery;
use crate::record::fact::Fact;
use crate::record::provenance::Provenance;
use crate::record::score::Score;
use crate::record::setting::Setting;
use crate::record::status::RunStatus;

/// A training run with one method and one seed, and its measurements on test images: the content of `result.json`.
///
/// A record is written after every epoch, so that interrupted runs have a record, too. At the end, it is written with
/// the scores:
///
/// ```
/// use twins_report::{Provenance, Report, RunRecord, RunStatus, Score, ScoreKind};
/// use twins_train::{Accuracy, Method, TrainConfig};
///
/// # fn main() -> Result<(), twins_report::ReportError> {
/// # let folder = std::env::temp_dir().join(format!("twins-record-{}", std::process::id()));
/// # let metrics: Vec<twins_train::EpochMetrics> = Vec::new();
/// let config = TrainConfig::new(Method::TwinsAt);
/// let mut record = RunRecord::new("twins-at", &config, Provenance::starting_now(config.seed))?
///     .with_fact("data", "cifar10:data")
///     .with_fact("architecture", "resnet20");
/// // In the observer of the trainer:
/// for epoch in metrics {
///     record.add_epoch(epoch);
///     record.write(&folder)?;
/// }
/// // At the end:
/// record.status = RunStatus::Completed;
/// record.scores = vec![Score::new("clean", ScoreKind::Clean, Accuracy { correct: 87, total: 100 })];
/// record.write(&folder)?;
/// let report = Report::of_directories(&[&folder])?;
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunRecord {
    /// The method, or the arm of a study.
    pub name: String,
    /// Whether the run is in progress, or why it ended.
    pub status: RunStatus,
    /// The number of epochs that the run is configured to have.
    pub planned_epochs: usize,
    /// The number of epochs that the run has finished.
    pub finished_epochs: usize,
    /// The provenance of the run.
    pub provenance: Provenance,
    /// Properties of the run, such as data, images, architecture, weights and head, in the order in which they are
    /// shown.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// The settings.
    #[serde(default)]
    pub settings: Vec<Setting>,
    /// The protocol that measures robust accuracy on the validation split, if there is one, such as
    /// `PGD-10 Linf 8/255`.
    #[serde(default)]
    pub validation_protocol: String,
    /// The names of the classes, by index.
    #[serde(default)]
    pub classes: Vec<String>,
    /// The best epoch so far; `None` if nothing was validated.
    #[serde(default)]
    pub best: Option<Best>,
    /// The checkpoint that was measured for the scores, the gallery and the first curve; `None` if nothing was
    /// measured.
    #[serde(default)]
    pub checkpoint: Option<TestedCheckpoint>,
    /// Accuracies on test images.
    #[serde(default)]
    pub scores: Vec<Score>,
    /// Accuracies of the last checkpoint on test images, if they were requested. If the last checkpoint is also the best one, they equal
    /// [`scores`](Self::scores).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_scores: Vec<Score>,
    /// Accuracy on test images as a function of the radius.
    #[serde(default)]
    pub curves: Vec<RobustnessCurve>,
    /// Adversarial examples.
    #[serde(default)]
    pub gallery: Option<Gallery>,
    /// The metrics of the epochs, in order. They are stored in `metrics.jsonl`, which the trainer writes, and not in
    /// `result.json`.
    #[serde(skip)]
    pub history: Vec<EpochMetrics>,
}

/// The checkpoint that was measured on test images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TestedCheckpoint {
    /// The checkpoint with the best robust accuracy on the validation split.
    Best,
    /// The checkpoint of the last epoch, because no images were held out to choose the best one.
    Last,
    /// The moving average of the weights after the last epoch, because no images were held out to choose the best checkpoint.
    Averaged,
}

impl RunRecord {
    /// Creates the record of a run that has just started.
    ///
    /// # Errors
    ///
    /// [`ReportError::Train`] if the validation's settings are out of range, and [`ReportError::Settings`] if the
    /// settings cannot be recorded.
    pub fn new(
        name: impl Into<String>,
        config: &TrainConfig,
        provenance: Provenance,
    ) -> Result<Self, ReportError> {
        let default = TrainConfig::new(config.method);
        Ok(Self {
            name: name.into(),
            status: RunStatus::Running,
            planned_epochs: config.epochs,
            finished_epochs: 0,
            provenance,
            facts: Vec::new(),
            settings: Setting::compare(config, &default)?,
            validation_protocol: config.validation_protocol()?.to_string(),
            classes: Vec::new(),
            best: None,
            checkpoint: None,
            scores: Vec::new(),
            last_scores: Vec::new(),
            curves: Vec::new(),
            gallery: None,
            history: Vec::new(),
        })
    }

    /// Adds a fact, such as the data or the architecture.
    #[must_use]
    pub fn with_fact(mut self, label: impl Into<String>, value: impl ToString) -> Self {
        self.facts.push(Fact::new(label, value));
        self
    }

    /// Sets the names of the classes.
    #[must_use]
    pub fn with_classes(mut self, classes: &[String]) -> Self {
        self.classes = classes.to_vec();
        self
    }

    /// Sets the metrics of all epochs so far, in order, and determines the best epoch.
    #[must_use]
    pub fn with_history(mut self, history: Vec<EpochMetrics>) -> Self {
        self.history = history;
        self.update_from_history();
        self
    }

    /// Adds an epoch. A resumed run repeats the epochs after its last checkpoint, whose earlier metrics are replaced.
    pub fn add_epoch(&mut self, metrics: EpochMetrics) {
        self.history.retain(|earlier| earlier.epoch < metrics.epoch);
        self.history.push(metrics);
        self.update_from_history();
    }

    /// The status in words, such as `interrupted after epoch 3 of 10`.
    pub fn status_text(&self) -> String {
        self.status.describe(self.finished_epochs, self.planned_epochs)
    }

    pub(crate) fn update_from_history(&mut self) {
        self.finished_epochs = self.history.last().map_or(0, |last| last.epoch);
        self.best = best_of(&self.history);
    }
}

/// Determines the best epoch by the trainer's rule: the highest robust accuracy, then the highest clean accuracy, then the
/// earlier epoch. Within an epoch, the raw weights precede the averaged ones.
fn best_of(history: &[EpochMetrics]) -> Option<Best> {
    let candidates = history.iter().flat_map(|metrics| {
        let candidate =
            |source, [clean, robust]: [Accuracy; 2]| Best { epoch: metrics.epoch, source, clean, robust };
        let raw = metrics.validation().map(|raw| candidate(BestSource::Raw, raw));
        let averaged = metrics.ema_accuracy.map(|averaged| candidate(BestSource::Ema, averaged));
        raw.into_iter().chain(averaged)
    });
    candidates.fold(None, |best: Option<Best>, candidate| match best {
        Some(best) if rank(&candidate) <= rank(&best) => Some(best),
        _ => Some(candidate),
    })
}

fn rank(best: &Best) -> (usize, usize) {
    (best.robust.correct, best.clean.correct)
}

#[cfg(test)]
mod tests {
    use twins_train::Method;

    use super::*;
    use crate::example::epoch;

    fn record() -> RunRecord {
        let config = TrainConfig::new(Method::TwinsAt).with_epochs(10).with_seed(4);
        RunRecord::new("twins-at", &config, Provenance::starting_now(4)).unwrap()
    }

    #[test]
    fn the_best_epoch_is_the_trainer_s() {
        let mut record = record();
        assert_eq!(record.best, None);
        let mut best = |number, robust, clean| {
            record.add_epoch(epoch(number, robust, clean));
            record.best.map(|best| best.epoch)
        };
        assert_eq!(best(1, 5, 8), Some(1));
        assert_eq!(best(2, 4, 10), Some(1), "robust accuracy decides");
        assert_eq!(best(3, 5, 8), Some(1), "the earlier epoch is kept");
        assert_eq!(best(4, 5, 9), Some(4), "clean accuracy breaks a tie");
        // The checkpoint was one behind: epoch 4 is run again, with another result.
        assert_eq!(best(4, 5, 7), Some(1));
        assert_eq!((record.finished_epochs, record.history.len()), (4, 4));
        let accuracy = |correct| Accuracy { correct, total: 20 };
        let mut averaged = epoch(5, 6, 6);
        averaged.ema_accuracy = Some([accuracy(7), accuracy(6)]);
        record.add_epoch(averaged);
        assert_eq!(record.best.map(|best| (best.epoch, best.source)), Some((5, BestSource::Ema)));
    }

    #[test]
    fn a_record_has_the_settings_and_the_validation() {
        let record = record();
        let changed: Vec<&str> = record
            .settings
            .iter()
            .filter(|setting| setting.differs())
            .map(|setting| setting.name.as_str())
            .collect();
        assert_eq!(changed, ["epochs", "schedule.milestones", "seed"]);
        assert_eq!(record.validation_protocol, "PGD-10 Linf 8/255");
        assert_eq!(record.status_text(), "running or killed, before the end of epoch 1 of 10");
    }
}

use serde::{Deserialize, Serialize};
use twins_report::{RunRecord, Score, ScoreKind};
use twins_train::{Accuracy, Best, Method};

use super::arm::SettingsFrom;
use super::collection::{Choice, Collection};
use super::finished::{Finished, FinishedResult};
use super::identity::ArmIdentity;
use super::{ArmSummary, Candidate, Checkpoint, Divergence, EpochResult, StudyJob};

/// The metrics of a study's table, in its order.
const METRICS: [ScoreKind; 3] = [ScoreKind::Clean, ScoreKind::LastIterate, ScoreKind::AutoAttack];

/// The results of a study's finished trainings: the content of `study-results.json`.
///
/// It has no durations and no dates, so that it depends only on the study, even if the study was interrupted. Accuracies are fractions in
/// [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StudyResults {
    /// The title.
    pub name: String,
    /// The arm with which the others are compared.
    pub baseline: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The metrics on the test images, in the order of the columns; empty until the first run has finished.
    pub metrics: Vec<Metric>,
    /// The metrics of the last checkpoints; empty if these were not evaluated (`evaluation.last`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_metrics: Vec<Metric>,
    /// The arms, in the order of the rows.
    pub arms: Vec<ArmResults>,
    /// The trials and runs that have not finished.
    pub missing: Vec<StudyJob>,
}

/// A measured accuracy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Metric {
    /// How it was measured.
    pub kind: ScoreKind,
    /// The heading, such as `PGD-20 Linf 8/255`.
    pub label: String,
    /// The number of test images; `None` if runs were evaluated on different numbers of images.
    pub images: Option<usize>,
}

/// The results of an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArmResults {
    /// The name.
    pub name: String,
    /// The method with the chosen settings, or with the first candidate if none has been chosen.
    pub method: Method,
    /// The learning rate; `None` if it has not been chosen yet, or if every trial diverged.
    pub learning_rate: Option<f64>,
    /// The settings of the best trial, or those taken from another arm; `None` if there are none, or if trials have not finished or all of
    /// them diverged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Candidate>,
    /// The source of the learning rate and of the other settings that trials choose.
    pub settings_from: SettingsFrom,
    /// The trials that have finished.
    pub trials: Vec<TrialResult>,
    /// The runs that have finished.
    pub runs: Vec<RunResult>,
    /// A summary for each metric that was measured.
    pub summaries: Vec<ArmSummary>,
}

/// A trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrialResult {
    /// The candidate that it evaluated.
    pub candidate: Candidate,
    /// The best epoch, with the accuracies on the validation images by which the candidate is chosen; `None` if the training diverged.
    pub best: Option<BestEpoch>,
    /// Where and how it diverged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<Divergence>,
    /// The epochs that finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epochs: Vec<EpochResult>,
}

/// The epoch with the best accuracy on the validation images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BestEpoch {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Clean accuracy on the validation images.
    pub clean: Accuracy,
    /// Robust accuracy on the validation images.
    pub robust: Accuracy,
}

/// A run of a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunResult {
    /// The seed.
    pub seed: u64,
    /// The best epoch; `None` without validation, or if the training diverged.
    pub best: Option<BestEpoch>,
    /// Accuracies on the test images.
    pub scores: Vec<RunScore>,
    /// Accuracies of the last checkpoint, if it was evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_scores: Vec<RunScore>,
    /// Where and how it diverged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<Divergence>,
    /// The epochs that finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epochs: Vec<EpochResult>,
}

/// An accuracy on test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunScore {
    /// How it was measured.
    pub metric: ScoreKind,
    /// The images that remain correct.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

impl StudyResults {
    pub(super) fn new(collection: &Collection) -> Self {
        let identity = collection.identity;
        let mut arms: Vec<ArmResults> =
            identity.arms.iter().map(|arm| ArmResults::new(arm, collection)).collect();
        let baseline = arms.iter().find(|arm| arm.name == identity.baseline).map(|arm| arm.runs.clone());
        for arm in &mut arms {
            let baseline = baseline.as_deref().filter(|_| arm.name != identity.baseline).unwrap_or_default();
            arm.summaries = [Checkpoint::Best, Checkpoint::Last, Checkpoint::Gap]
                .into_iter()
                .flat_map(|checkpoint| METRICS.map(|metric| (metric, checkpoint)))
                .filter_map(|(metric, checkpoint)| ArmSummary::new(metric, checkpoint, &arm.runs, baseline))
                .collect();
        }
        Self {
            name: identity.name.clone(),
            baseline: identity.baseline.clone(),
            seeds: identity.seeds.clone(),
            metrics: Metric::all(collection, |record| &record.scores),
            last_metrics: Metric::all(collection, |record| &record.last_scores),
            arms,
            missing: collection.missing(),
        }
    }

    /// Whether every trial and every run has finished.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

impl Metric {
    /// All metrics that were measured in the runs of a study.
    fn all(collection: &Collection, scores: impl Fn(&RunRecord) -> &[Score] + Copy) -> Vec<Self> {
        METRICS.iter().filter_map(|&kind| Self::new(kind, collection, scores)).collect()
    }

    /// Creates a metric as measured in the runs of a study; `None` if it was not measured.
    fn new(
        kind: ScoreKind,
        collection: &Collection,
        scores: impl Fn(&RunRecord) -> &[Score] + Copy,
    ) -> Option<Self> {
        let runs = collection.identity.arms.iter().flat_map(|arm| collection.runs_of(&arm.name));
        let found = runs.filter_map(|(_, found)| match &found?.result {
            FinishedResult::Record(record) => scores(record).iter().find(|score| score.kind == kind),
            FinishedResult::Diverged(_) => None,
        });
        let scores: Vec<_> = found.collect();
        let first = scores.first()?;
        let images = first.accuracy.total;
        let same = scores.iter().all(|score| score.accuracy.total == images);
        Some(Self { kind, label: first.label.clone(), images: same.then_some(images) })
    }
}

impl ArmResults {
    fn new(arm: &ArmIdentity, collection: &Collection) -> Self {
        let trials = collection.trials_of(&arm.name).filter_map(|(job, found)| TrialResult::new(job, found?));
        let runs = collection.runs_of(&arm.name).filter_map(|(job, found)| RunResult::new(job, found?));
        let chosen = match collection.choice(&arm.name) {
            Choice::Chosen(chosen) => Some(chosen),
            Choice::Waiting(_) | Choice::AllDiverged(_) => None,
        };
        Self {
            name: arm.name.clone(),
            method: arm.method(chosen.as_ref()),
            learning_rate: chosen.as_ref().map(|chosen| collection.learning_rate(&arm.name, chosen)),
            settings_from: arm.settings_from.clone(),
            chosen: chosen.filter(|chosen| !chosen.is_empty()),
            trials: trials.collect(),
            runs: runs.collect(),
            summaries: Vec::new(),
        }
    }

    /// The summary of a metric.
    pub fn summary(&self, metric: ScoreKind, checkpoint: Checkpoint) -> Option<&ArmSummary> {
        self.summaries.iter().find(|summary| (summary.metric, summary.checkpoint) == (metric, checkpoint))
    }
}

impl TrialResult {
    fn new(job: &StudyJob, found: &Finished) -> Option<Self> {
        let StudyJob::Trial { candidate, .. } = job else { return None };
        let (best, diverged) = found.ending();
        Some(Self { candidate: candidate.clone(), best, diverged, epochs: found.epochs.clone() })
    }
}

impl RunResult {
    fn new(job: &StudyJob, found: &Finished) -> Option<Self> {
        let StudyJob::Run { seed, .. } = job else { return None };
        let (best, diverged) = found.ending();
        let (scores, last_scores) = match &found.result {
            FinishedResult::Record(record) => (of_metrics(&record.scores), of_metrics(&record.last_scores)),
            FinishedResult::Diverged(_) => (Vec::new(), Vec::new()),
        };
        Some(Self { seed: *seed, best, scores, last_scores, diverged, epochs: found.epochs.clone() })
    }

    /// The accuracy by a metric.
    pub fn score(&self, metric: ScoreKind) -> Option<Accuracy> {
        find(&self.scores, metric)
    }

    /// The accuracy of a checkpoint as a fraction, or the difference of two.
    pub fn value(&self, metric: ScoreKind, checkpoint: Checkpoint) -> Option<f64> {
        let best = || Some(self.score(metric)?.fraction());
        let last = || Some(find(&self.last_scores, metric)?.fraction());
        match checkpoint {
            Checkpoint::Best => best(),
            Checkpoint::Last => last(),
            Checkpoint::Gap => Some(best()? - last()?),
        }
    }
}

fn find(scores: &[RunScore], metric: ScoreKind) -> Option<Accuracy> {
    scores.iter().find(|score| score.metric == metric).map(|score| score.accuracy)
}

fn of_metrics(scores: &[Score]) -> Vec<RunScore> {
    let of_metric = |&metric: &ScoreKind| {
        let score = scores.iter().find(|score| score.kind == metric)?;
        Some(RunScore { metric, accuracy: score.accuracy })
    };
    METRICS.iter().filter_map(of_metric).collect()
}

impl Finished {
    fn ending(&self) -> (Option<BestEpoch>, Option<Divergence>) {
        match &self.result {
            FinishedResult::Record(record) => (record.best.map(BestEpoch::from), None),
            FinishedResult::Diverged(divergence) => (None, Some(divergence.clone())),
        }
    }
}

impl From<Best> for BestEpoch {
    fn from(best: Best) -> Self {
        Self { epoch: best.epoch, clean: best.clean, robust: best.robust }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::run;

    #[test]
    fn results_are_read_back() {
        let candidate = Candidate::of_learning_rate(0.1 + 0.2).with_setting("lambda", 0.5);
        let summaries = vec![
            ArmSummary::new(ScoreKind::Clean, Checkpoint::Best, &[run(0, 1), run(1, 3)], &[run(1, 5)])
                .unwrap(),
        ];
        let epoch = EpochResult {
            epoch: 1,
            loss_frozen: Some(0.1 + 0.2),
            loss_adaptive: 0.5,
            train_adversarial_accuracy: Accuracy { correct: 1, total: 2 },
            validation_clean_accuracy: None,
            validation_robust_accuracy: None,
            gradient_norm: 1.5,
            effective_learning_rate: None,
        };
        let arm = ArmResults {
            name: "twins-at".to_owned(),
            method: Method::TwinsAt,
            learning_rate: Some(0.1 + 0.2),
            settings_from: SettingsFrom::Trials(vec![candidate.clone()]),
            chosen: Some(candidate.clone()),
            trials: vec![TrialResult { candidate, best: None, diverged: None, epochs: vec![epoch] }],
            runs: vec![run(0, 1), run(1, 3)],
            summaries,
        };
        let results = StudyResults {
            name: "x".to_owned(),
            baseline: "at".to_owned(),
            seeds: vec![0, 1],
            metrics: vec![Metric { kind: ScoreKind::Clean, label: "clean".to_owned(), images: Some(100) }],
            last_metrics: Vec::new(),
            arms: vec![arm],
            missing: vec![StudyJob::Run { arm: "at".to_owned(), seed: 0 }],
        };
        let text = serde_json::to_string_pretty(&results).unwrap();
        assert_eq!(serde_json::from_str::<StudyResults>(&text).unwrap(), results);
        assert!(!results.is_complete());
    }
}

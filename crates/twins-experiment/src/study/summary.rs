use serde::{Deserialize, Serialize};
use twins_report::ScoreKind;

use super::results::RunResult;
use super::{PairedDifference, Summary};

/// The checkpoint of each run that is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Checkpoint {
    /// The result of the run: the checkpoint with the best robust accuracy on the validation images.
    #[default]
    Best,
    /// The checkpoint of the last epoch.
    Last,
    /// The best checkpoint minus the last one: the gap of robust overfitting.
    Gap,
}

/// A metric over the seeds of an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArmSummary {
    /// How it was measured.
    pub metric: ScoreKind,
    /// The checkpoint that was evaluated.
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// Mean and sample standard deviation over the seeds.
    #[serde(flatten)]
    pub summary: Summary,
    /// The arm minus the baseline; `None` for the baseline, and if no seed has finished in both.
    pub difference: Option<SeedDifferences>,
}

/// Paired differences to the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeedDifferences {
    /// The differences of all seeds that have finished in both arms.
    pub seeds: Vec<SeedDifference>,
    /// Mean, standard deviation and interval.
    #[serde(flatten)]
    pub paired: PairedDifference,
}

/// The difference of two runs with the same seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeedDifference {
    /// The seed.
    pub seed: u64,
    /// The arm's value minus the baseline's.
    pub difference: f64,
}

impl ArmSummary {
    /// Summarises an arm's runs relative to the baseline's; `None` if the metric was not measured.
    pub(super) fn new(
        metric: ScoreKind,
        checkpoint: Checkpoint,
        runs: &[RunResult],
        baseline: &[RunResult],
    ) -> Option<Self> {
        let value = |run: &RunResult| run.value(metric, checkpoint);
        let fractions: Vec<f64> = runs.iter().filter_map(value).collect();
        let difference = |run: &RunResult| {
            let other = baseline.iter().find(|other| other.seed == run.seed)?;
            Some(SeedDifference { seed: run.seed, difference: value(run)? - value(other)? })
        };
        let seeds: Vec<SeedDifference> = runs.iter().filter_map(difference).collect();
        let differences: Vec<f64> = seeds.iter().map(|seed| seed.difference).collect();
        let paired = PairedDifference::of(&differences);
        Some(Self {
            metric,
            checkpoint,
            summary: Summary::of(&fractions)?,
            difference: paired.map(|paired| SeedDifferences { seeds, paired }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Divergence;
    use crate::study::tests::run;

    #[test]
    fn differences_are_of_the_same_seeds() {
        let divergence = Divergence { what: "the loss is not finite (NaN)".to_owned(), epoch: 1, step: 2 };
        let diverged = RunResult { scores: Vec::new(), diverged: Some(divergence), ..run(3, 0) };
        let baseline = [run(2, 40), run(0, 50), diverged];
        let runs = [run(0, 52), run(1, 99), run(2, 44), run(3, 60)];
        let best =
            |metric, baseline: &[RunResult]| ArmSummary::new(metric, Checkpoint::Best, &runs, baseline);
        let summary = best(ScoreKind::LastIterate, &baseline).unwrap();
        assert_eq!(summary.summary.count, 4, "the mean is over all seeds of the arm");
        assert!((summary.summary.mean - 0.6375).abs() < 1e-15);
        let difference = summary.difference.unwrap();
        assert_eq!(difference.seeds.iter().map(|seed| seed.seed).collect::<Vec<_>>(), [0, 2]);
        // 0.02 and 0.04: mean 0.03, s = 0.01 √2, half the width is 12.706 · 0.01. The differences of fractions are rounded.
        let PairedDifference { summary, interval } = difference.paired;
        assert!((summary.mean - 0.03).abs() < 1e-15 && summary.count == 2);
        let [low, high] = interval.unwrap();
        assert!((low + 0.09706).abs() < 1e-5 && (high - 0.15706).abs() < 1e-5, "{low} {high}");
        assert_eq!(best(ScoreKind::AutoAttack, &baseline), None);
        assert_eq!(best(ScoreKind::Clean, &[]).unwrap().difference, None);
        assert_eq!(
            ArmSummary::new(ScoreKind::Clean, Checkpoint::Gap, &runs, &baseline),
            None,
            "no last checkpoint"
        );
    }

    #[test]
    fn the_gap_is_of_each_run() {
        let with_last = |seed, best, last| {
            let last = RunResult { scores: Vec::new(), last_scores: run(seed, last).scores, ..run(seed, 0) };
            RunResult { last_scores: last.last_scores, ..run(seed, best) }
        };
        let runs = [with_last(0, 50, 44), with_last(1, 48, 46)];
        let baseline = [with_last(0, 45, 35), with_last(1, 45, 39)];
        let summary =
            |checkpoint| ArmSummary::new(ScoreKind::LastIterate, checkpoint, &runs, &baseline).unwrap();
        let means = [Checkpoint::Best, Checkpoint::Last, Checkpoint::Gap].map(|checkpoint| {
            let summary = summary(checkpoint);
            (summary.summary.mean, summary.difference.unwrap().paired.summary.mean)
        });
        // Best 50 and 48, last 44 and 46, gaps 6 and 2; the baseline's 45, 35 and 39, gaps 10 and 6. Sums of fractions are rounded.
        for ((mean, difference), expected) in
            means.into_iter().zip([(0.49, 0.04), (0.45, 0.08), (0.04, -0.04)])
        {
            assert!(
                (mean - expected.0).abs() < 1e-12 && (difference - expected.1).abs() < 1e-12,
                "{expected:?}"
            );
        }
        // √((2² + 2²) / 1) points.
        let deviation = summary(Checkpoint::Gap).summary.standard_deviation.unwrap();
        assert!((deviation - 0.08_f64.sqrt() / 10.0).abs() < 1e-12, "{deviation}");
    }
}

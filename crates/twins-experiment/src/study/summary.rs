use serde::{Deserialize, Serialize};
use twins_report::ScoreKind;

use super::results::RunResult;
use super::{PairedDifference, Summary};

/// A metric over the seeds of an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    /// How it was measured.
    pub metric: ScoreKind,
    /// Mean and sample standard deviation over the seeds.
    #[serde(flatten)]
    pub summary: Summary,
    /// What the arm has more than the baseline; `None` for the baseline, and without a seed that both have finished.
    pub difference: Option<SeedDifferences>,
}

/// Paired differences to the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedDifferences {
    /// Of each seed that both arms have finished.
    pub seeds: Vec<SeedDifference>,
    /// Mean, standard deviation and interval.
    #[serde(flatten)]
    pub paired: PairedDifference,
}

/// The difference of two runs with the same seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedDifference {
    /// The seed.
    pub seed: u64,
    /// The arm's accuracy minus the baseline's.
    pub difference: f64,
}

impl ArmSummary {
    /// The summary of an arm's runs next to the baseline's; `None` where the metric was not measured.
    pub(super) fn new(metric: ScoreKind, runs: &[RunResult], baseline: &[RunResult]) -> Option<Self> {
        let fractions: Vec<f64> = runs.iter().filter_map(|run| Some(run.score(metric)?.fraction())).collect();
        let difference = |run: &RunResult| {
            let other = baseline.iter().find(|other| other.seed == run.seed)?;
            let difference = run.score(metric)?.fraction() - other.score(metric)?.fraction();
            Some(SeedDifference { seed: run.seed, difference })
        };
        let seeds: Vec<SeedDifference> = runs.iter().filter_map(difference).collect();
        let differences: Vec<f64> = seeds.iter().map(|seed| seed.difference).collect();
        let paired = PairedDifference::of(&differences);
        Some(Self {
            metric,
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
        let summary = ArmSummary::new(ScoreKind::LastIterate, &runs, &baseline).unwrap();
        assert_eq!(summary.summary.count, 4, "the mean is over all seeds of the arm");
        assert!((summary.summary.mean - 0.6375).abs() < 1e-15);
        let difference = summary.difference.unwrap();
        assert_eq!(difference.seeds.iter().map(|seed| seed.seed).collect::<Vec<_>>(), [0, 2]);
        // 0.02 and 0.04: mean 0.03, s = 0.01 √2, half the width is 12.706 · 0.01. The differences of fractions are rounded.
        let PairedDifference { summary, interval } = difference.paired;
        assert!((summary.mean - 0.03).abs() < 1e-15 && summary.count == 2);
        let [low, high] = interval.unwrap();
        assert!((low + 0.09706).abs() < 1e-5 && (high - 0.15706).abs() < 1e-5, "{low} {high}");
        assert_eq!(ArmSummary::new(ScoreKind::AutoAttack, &runs, &baseline), None);
        assert_eq!(ArmSummary::new(ScoreKind::Clean, &runs, &[]).unwrap().difference, None);
    }
}

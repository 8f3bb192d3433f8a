use super::PairedDifference;
use super::results::{ArmResults, Metric, StudyResults};
use super::summary::Checkpoint;

/// With this many intervals or more, one of them may well exclude 0 by chance.
const MANY_INTERVALS: usize = 6;

/// The conclusion from the 95 % interval of a difference.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// The interval is above 0; the value is the mean in percentage points.
    Ahead(f64),
    /// The interval is below 0; the value is the mean in percentage points, as a positive number.
    Behind(f64),
    /// The interval contains 0.
    Open,
}

impl StudyResults {
    /// Describes what the comparison shows, in a sentence for each arm, and what it does not show. Empty until every run has finished, and
    /// if there are no intervals because there is only one seed. An arm of which fewer than two seeds finished is named.
    pub fn conclusions(&self) -> Vec<String> {
        if !self.is_complete() {
            return Vec::new();
        }
        let verdicts = |arm: &ArmResults| -> Vec<(&Metric, Verdict)> {
            self.metrics.iter().filter_map(|metric| Some((metric, arm.verdict(metric)?))).collect()
        };
        let compared: Vec<_> = self
            .arms
            .iter()
            .map(|arm| (arm, verdicts(arm)))
            .filter(|(_, verdicts)| !verdicts.is_empty())
            .collect();
        let mut sentences: Vec<String> = compared
            .iter()
            .map(|(arm, verdicts)| self.conclusion(&arm.name, verdicts) + &self.seeds_left_out(arm, verdicts))
            .collect();
        if self.seeds.len() > 1 {
            let alone = |arm: &&ArmResults| arm.name != self.baseline && self.common_seeds(arm) < 2;
            sentences.extend(self.arms.iter().filter(alone).map(|arm| self.not_compared(&arm.name)));
        }
        let intervals: usize = compared.iter().map(|(_, verdicts)| verdicts.len()).sum();
        if intervals >= MANY_INTERVALS {
            sentences.push(format!("Of these {intervals} intervals, one in twenty misses 0 by chance."));
        }
        if intervals > 0 {
            sentences.push(format!(
                "This is one network on one data set with {} seeds; it says nothing about others.",
                self.seeds.len()
            ));
        }
        sentences
    }

    /// A sentence that follows the conclusion about an arm if not every seed is in its differences.
    fn seeds_left_out(&self, arm: &ArmResults, verdicts: &[(&Metric, Verdict)]) -> String {
        let seeds = self.seeds.len();
        match verdicts.iter().filter_map(|(metric, _)| arm.pairs(metric)).min() {
            Some(pairs) if pairs < seeds => {
                format!(" Only {pairs} of {seeds} seeds are compared, because runs of the others diverged.")
            }
            _ => String::new(),
        }
    }

    /// The number of seeds of which an arm and the baseline have a run that did not diverge.
    fn common_seeds(&self, arm: &ArmResults) -> usize {
        let trained =
            |arm: &ArmResults, seed| arm.runs.iter().any(|run| run.seed == seed && run.diverged.is_none());
        let baseline = self.arms.iter().find(|arm| arm.name == self.baseline);
        let in_both =
            |&&seed: &&u64| trained(arm, seed) && baseline.is_some_and(|baseline| trained(baseline, seed));
        self.seeds.iter().filter(in_both).count()
    }

    /// A sentence about an arm without intervals, although there are several seeds.
    fn not_compared(&self, arm: &str) -> String {
        format!(
            "{arm} is not compared with {}: trainings diverged, and fewer than two seeds finished in both.",
            self.baseline
        )
    }

    fn conclusion(&self, arm: &str, verdicts: &[(&Metric, Verdict)]) -> String {
        let baseline = &self.baseline;
        let ahead = listed(verdicts, |verdict| match verdict {
            Verdict::Ahead(points) => Some(format!(" by {points:.2} points")),
            _ => None,
        });
        let behind = listed(verdicts, |verdict| match verdict {
            Verdict::Behind(points) => Some(format!(" by {points:.2} points")),
            _ => None,
        });
        let open = listed(verdicts, |verdict| (verdict == Verdict::Open).then(String::new));
        let shown = match (ahead, behind) {
            (Some(ahead), Some(behind)) => {
                format!("is ahead of {baseline} in {ahead}, and behind it in {behind}")
            }
            (Some(ahead), None) => format!("is ahead of {baseline} in {ahead}"),
            (None, Some(behind)) => format!("is behind {baseline} in {behind}"),
            (None, None) => {
                return format!(
                    "No difference between {arm} and {baseline} is shown: every 95 % interval contains 0."
                );
            }
        };
        match open {
            Some(open) => format!("{arm} {shown}; no difference is shown in {open}."),
            None => format!("{arm} {shown}."),
        }
    }
}

impl ArmResults {
    fn difference(&self, metric: &Metric) -> Option<&PairedDifference> {
        Some(&self.summary(metric.kind, Checkpoint::Best)?.difference.as_ref()?.paired)
    }

    /// The number of seeds in the difference of a metric.
    fn pairs(&self, metric: &Metric) -> Option<usize> {
        Some(self.difference(metric)?.summary.count)
    }

    fn verdict(&self, metric: &Metric) -> Option<Verdict> {
        let difference = self.difference(metric)?;
        let mean = 100.0 * difference.summary.mean;
        Some(match difference.interval? {
            [low, _] if low > 0.0 => Verdict::Ahead(mean),
            [_, high] if high < 0.0 => Verdict::Behind(-mean),
            _ => Verdict::Open,
        })
    }
}

/// The labels of some metrics, each with words behind it; `None` where there is none.
fn listed(verdicts: &[(&Metric, Verdict)], words: impl Fn(Verdict) -> Option<String>) -> Option<String> {
    let labels: Vec<String> = verdicts
        .iter()
        .filter_map(|(metric, verdict)| Some(format!("{}{}", metric.label, words(*verdict)?)))
        .collect();
    match labels.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        [others @ .., last] => Some(format!("{} and {last}", others.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use twins_report::ScoreKind;
    use twins_train::Method;

    use super::super::summary::ArmSummary;
    use super::super::{SettingsFrom, StudyJob};
    use super::*;
    use crate::study::tests::run;

    fn results(arms: &[(&str, [usize; 3])]) -> StudyResults {
        let runs = |correct: [usize; 3]| [0, 1, 2].map(|seed| run(seed as u64, correct[seed]));
        let baseline = runs(arms[0].1);
        let arm = |&(name, correct): &(&str, [usize; 3])| ArmResults {
            name: name.to_owned(),
            method: Method::At,
            learning_rate: Some(0.1),
            chosen: None,
            settings_from: SettingsFrom::Given(0.1),
            trials: Vec::new(),
            runs: runs(correct).to_vec(),
            summaries: ArmSummary::new(ScoreKind::LastIterate, Checkpoint::Best, &runs(correct), {
                if name == arms[0].0 { &[] } else { &baseline }
            })
            .into_iter()
            .collect(),
        };
        StudyResults {
            name: "x".to_owned(),
            baseline: arms[0].0.to_owned(),
            seeds: vec![0, 1, 2],
            metrics: vec![Metric {
                kind: ScoreKind::LastIterate,
                label: "PGD-20".to_owned(),
                images: Some(100),
            }],
            last_metrics: Vec::new(),
            arms: arms.iter().map(arm).collect(),
            missing: Vec::new(),
        }
    }

    #[test]
    fn an_interval_without_zero_is_a_difference() {
        let conclusions =
            |other: [usize; 3]| results(&[("at", [50, 50, 50]), ("twins", other)]).conclusions();
        let last = "This is one network on one data set with 3 seeds; it says nothing about others.";
        assert_eq!(conclusions([52, 53, 52]), ["twins is ahead of at in PGD-20 by 2.33 points.", last]);
        assert_eq!(conclusions([48, 47, 48]), ["twins is behind at in PGD-20 by 2.33 points.", last]);
        let open = "No difference between twins and at is shown: every 95 % interval contains 0.";
        assert_eq!(conclusions([49, 53, 52]), [open, last]);
        // The interval of equal accuracies is 0 alone.
        assert_eq!(conclusions([50, 50, 50]), [open, last]);
        let many: Vec<(String, [usize; 3])> =
            (0..7).map(|arm| (format!("arm-{arm}"), [50, 51, 52])).collect();
        let many: Vec<(&str, [usize; 3])> = many.iter().map(|(name, runs)| (name.as_str(), *runs)).collect();
        let sentences = results(&many).conclusions();
        assert_eq!(sentences.len(), 6 + 2);
        assert_eq!(sentences[6], "Of these 6 intervals, one in twenty misses 0 by chance.");
    }

    #[test]
    fn several_metrics_share_a_sentence() {
        let results = results(&[("at", [50, 50, 50]), ("twins", [52, 53, 52])]);
        let metric = |label: &str| Metric { kind: ScoreKind::Clean, label: label.to_owned(), images: None };
        let metrics = ["clean", "PGD-20", "AutoAttack"].map(metric);
        let verdicts = [Verdict::Ahead(1.5), Verdict::Behind(0.25), Verdict::Open];
        let all: Vec<_> = metrics.iter().zip(verdicts).collect();
        assert_eq!(
            results.conclusion("twins", &all),
            "twins is ahead of at in clean by 1.50 points, and behind it in PGD-20 by 0.25 points; no difference is shown in AutoAttack."
        );
    }

    #[test]
    fn a_conclusion_gives_the_seeds_that_are_compared() {
        let mut results = results(&[("at", [50, 50, 50]), ("twins", [52, 53, 52])]);
        // The run of a fourth seed diverged.
        results.seeds.push(3);
        let sentence = "twins is ahead of at in PGD-20 by 2.33 points. Only 3 of 4 seeds are compared, because runs of the others diverged.";
        assert_eq!(results.conclusions()[0], sentence);
    }

    #[test]
    fn an_arm_of_which_one_seed_finished_is_not_compared() {
        let mut results = results(&[("at", [50, 50, 50]), ("twins", [52, 53, 52]), ("trades", [60, 60, 60])]);
        let pair = PairedDifference::of(&[0.02]).unwrap();
        let differences =
            results.arms[2].summaries.iter_mut().filter_map(|summary| summary.difference.as_mut());
        differences.for_each(|difference| difference.paired = pair.clone());
        results.arms[2].runs.truncate(1);
        let sentence =
            "trades is not compared with at: trainings diverged, and fewer than two seeds finished in both.";
        assert_eq!(results.conclusions()[1], sentence);
        assert_eq!(results.conclusions().len(), 3);
        // None at all.
        results.arms[2].summaries.clear();
        results.arms[2].runs.clear();
        assert_eq!(results.conclusions()[1], sentence);
    }

    #[test]
    fn an_unfinished_study_has_no_conclusion() {
        let mut results = results(&[("at", [50, 50, 50]), ("twins", [52, 53, 52])]);
        results.missing.push(StudyJob::Run { arm: "twins".to_owned(), seed: 3 });
        assert!(results.conclusions().is_empty());
    }

    #[test]
    fn a_study_of_one_seed_has_no_conclusion() {
        let mut results = results(&[("at", [50, 50, 50]), ("twins", [52, 53, 52])]);
        let pair = PairedDifference::of(&[0.02]).unwrap();
        let differences =
            results.arms[1].summaries.iter_mut().filter_map(|summary| summary.difference.as_mut());
        differences.for_each(|difference| difference.paired = pair.clone());
        results.seeds.truncate(1);
        assert!(results.conclusions().is_empty());
    }
}

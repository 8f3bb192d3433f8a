use twins_files::{one_line, shortened};
use twins_report::ScoreKind;

use super::results::{ArmResults, Metric, StudyResults};
use super::summary::{ArmSummary, SeedDifferences};
use super::{Candidate, Checkpoint, SettingsFrom, StudyJob, Summary};

/// The text for an unknown value.
const UNKNOWN: &str = "–";

impl StudyResults {
    /// The results as plain text: mean ± sample standard deviation over the seeds in per cent, then the paired differences to the
    /// baseline in percentage points, each with its 95 % interval.
    pub fn to_table(&self) -> String {
        let mut text = format!("{}\n\n{}", one_line(&self.name), grid(&self.means()));
        let differences = self.differences(&self.metrics, &[Checkpoint::Best]);
        if differences.len() > 1 {
            text += &format!(
                "\nDifferences to {} in percentage points: mean ± standard deviation over the seeds that both have, [95 % interval of \
                 the mean]\n\n{}",
                self.baseline,
                grid(&differences)
            );
        }
        if !self.last_metrics.is_empty() {
            text += &format!(
                "\nLast checkpoint, and what the best has more than the last in percentage points\n\n{}",
                grid(&self.means_of_last())
            );
            let differences = self.differences(&self.last_metrics, &OF_LAST);
            if differences.len() > 1 {
                text += &format!("\nDifferences of these to {}\n\n{}", self.baseline, grid(&differences));
            }
        }
        for lines in [self.notes(), self.conclusions()].iter().filter(|lines| !lines.is_empty()) {
            let lines: Vec<_> = lines.iter().map(|line| one_line(line)).collect();
            text += &format!("\n{}\n", lines.join("\n"));
        }
        text
    }

    fn means(&self) -> Vec<Vec<String>> {
        let others = self.has_other_settings().then(|| "other settings".to_owned());
        let heading = ["arm", "learning rate"]
            .map(str::to_owned)
            .into_iter()
            .chain(others)
            .chain(["seeds".to_owned()])
            .chain(self.metrics.iter().map(Metric::heading));
        let row = |arm: &ArmResults| {
            let rate = arm.learning_rate.map_or(UNKNOWN.to_owned(), shortest);
            let done = arm.runs.iter().filter(|run| run.diverged.is_none()).count();
            let values = self
                .metrics
                .iter()
                .map(|metric| cell(arm, metric.kind, Checkpoint::Best, |summary| spread(&summary.summary)));
            let others = self
                .has_other_settings()
                .then(|| arm.other_settings().map_or(UNKNOWN.to_owned(), |others| others.to_string()));
            [arm.name.clone(), rate]
                .into_iter()
                .chain(others)
                .chain([format!("{done} of {}", self.seeds.len())])
                .chain(values)
                .collect()
        };
        std::iter::once(heading.collect()).chain(self.arms.iter().map(row)).collect()
    }

    /// Accuracies of the last checkpoint, and gaps.
    fn means_of_last(&self) -> Vec<Vec<String>> {
        let columns = || columns(&self.last_metrics, &OF_LAST);
        let heading = std::iter::once("arm".to_owned())
            .chain(columns().map(|(metric, checkpoint)| checkpoint.heading(&metric.heading())));
        let row = |arm: &ArmResults| -> Vec<String> {
            let values = columns().map(|(metric, checkpoint)| {
                cell(arm, metric.kind, checkpoint, |summary| match checkpoint {
                    Checkpoint::Gap => points(&summary.summary),
                    Checkpoint::Best | Checkpoint::Last => spread(&summary.summary),
                })
            });
            std::iter::once(arm.name.clone()).chain(values).collect()
        };
        std::iter::once(heading.collect()).chain(self.arms.iter().map(row)).collect()
    }

    fn differences(&self, metrics: &[Metric], checkpoints: &[Checkpoint]) -> Vec<Vec<String>> {
        let columns = || columns(metrics, checkpoints);
        let heading = std::iter::once("arm".to_owned())
            .chain(columns().map(|(metric, checkpoint)| checkpoint.heading(&metric.label)));
        let row = |arm: &ArmResults| -> Vec<String> {
            let values = columns().map(|(metric, checkpoint)| {
                cell(arm, metric.kind, checkpoint, |summary| {
                    summary.difference.as_ref().map_or(UNKNOWN.to_owned(), SeedDifferences::in_words)
                })
            });
            std::iter::once(arm.name.clone()).chain(values).collect()
        };
        std::iter::once(heading.collect())
            .chain(self.arms.iter().filter(|arm| arm.is_compared()).map(row))
            .collect()
    }

    /// Whether trials chose other settings than a learning rate.
    pub(super) fn has_other_settings(&self) -> bool {
        self.arms.iter().any(|arm| arm.other_settings().is_some())
    }

    /// Notes for readers of the table, such as divergences and missing runs.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for arm in &self.arms {
            for run in &arm.runs {
                if let Some(divergence) = &run.diverged {
                    notes.push(format!(
                        "{}, seed {} diverged and is not in the means: {divergence}",
                        arm.name, run.seed
                    ));
                }
            }
            for trial in &arm.trials {
                if let Some(divergence) = &trial.diverged {
                    notes.push(format!(
                        "The trial ({}) of {} diverged: {divergence}",
                        trial.candidate, arm.name
                    ));
                }
            }
            let trials = self
                .missing
                .iter()
                .any(|job| matches!(job, StudyJob::Trial { arm: other, .. } if *other == arm.name));
            if !arm.trials.is_empty() && !trials && arm.trials.iter().all(|trial| trial.diverged.is_some()) {
                notes.push(format!("{} has no runs, because every trial diverged", arm.name));
            }
        }
        notes.extend(self.arms.iter().filter_map(ArmResults::note_of_extreme_rate));
        let is_trial = |job: &&StudyJob| matches!(job, StudyJob::Trial { .. });
        let trials = self.missing.iter().filter(is_trial).count();
        let missing = [("trial", trials), ("run", self.missing.len() - trials)];
        let counted =
            |(kind, count): &(&str, usize)| format!("{count} {kind}{}", if *count == 1 { "" } else { "s" });
        let missing: Vec<String> = missing.iter().filter(|(_, count)| *count > 0).map(counted).collect();
        if !missing.is_empty() {
            notes.push(format!("Not finished: {}", missing.join(" and ")));
        }
        notes
    }
}

/// The columns for the last checkpoints.
pub(super) const OF_LAST: [Checkpoint; 2] = [Checkpoint::Last, Checkpoint::Gap];

/// The columns of a table: every metric of each checkpoint.
pub(super) fn columns<'a>(
    metrics: &'a [Metric],
    checkpoints: &'a [Checkpoint],
) -> impl Iterator<Item = (&'a Metric, Checkpoint)> {
    checkpoints.iter().flat_map(move |&checkpoint| metrics.iter().map(move |metric| (metric, checkpoint)))
}

impl Checkpoint {
    /// The heading of a column.
    pub(super) fn heading(self, metric: &str) -> String {
        match self {
            Self::Best => metric.to_owned(),
            Self::Last => format!("last: {metric}"),
            Self::Gap => format!("best − last: {metric}"),
        }
    }
}

impl Metric {
    /// The label, with the number of images.
    pub(super) fn heading(&self) -> String {
        match self.images {
            Some(images) => format!("{} ({images} images)", self.label),
            None => self.label.clone(),
        }
    }
}

impl ArmResults {
    /// Whether there are differences to the baseline.
    pub(super) fn is_compared(&self) -> bool {
        self.summaries.iter().any(|summary| summary.difference.is_some())
    }

    /// The settings that trials chose, without the learning rate.
    pub(super) fn other_settings(&self) -> Option<Candidate> {
        self.chosen.as_ref().map(Candidate::without_learning_rate).filter(|others| !others.is_empty())
    }

    /// Notes if the best of several learning rates is the lowest or the highest, because a better one may lie outside the range.
    fn note_of_extreme_rate(&self) -> Option<String> {
        let SettingsFrom::Trials(candidates) = &self.settings_from else { return None };
        let candidate = self.chosen.as_ref()?;
        let chosen = candidate.learning_rate()?;
        let others = candidate.without_learning_rate();
        let alike = candidates.iter().filter(|candidate| candidate.without_learning_rate() == others);
        let rates: Vec<f64> = alike.filter_map(Candidate::learning_rate).collect();
        // With two learning rates, the best is always an extreme.
        if rates.len() < 3 {
            return None;
        }
        let place = match (rates.iter().all(|rate| *rate >= chosen), rates.iter().all(|rate| *rate <= chosen))
        {
            (true, _) => "lowest",
            (_, true) => "highest",
            _ => return None,
        };
        Some(format!(
            "The chosen learning rate of {} is the {place} of those tried; one beyond it may be better",
            self.name
        ))
    }
}

impl SeedDifferences {
    /// For instance `+0.80 ± 0.36 [-0.10, +1.70]`.
    fn in_words(&self) -> String {
        let mut text = points(&self.paired.summary);
        if let Some([low, high]) = self.paired.interval {
            text += &format!(" [{:+.2}, {:+.2}]", 100.0 * low, 100.0 * high);
        }
        text
    }
}

fn cell(
    arm: &ArmResults,
    metric: ScoreKind,
    checkpoint: Checkpoint,
    text: impl Fn(&ArmSummary) -> String,
) -> String {
    arm.summary(metric, checkpoint).map_or(UNKNOWN.to_owned(), text)
}

/// A difference in percentage points, for instance `+0.80 ± 0.36`.
fn points(summary: &Summary) -> String {
    let deviation = summary.standard_deviation.map(|deviation| format!(" ± {:.2}", 100.0 * deviation));
    format!("{:+.2}{}", 100.0 * summary.mean, deviation.unwrap_or_default())
}

fn spread(summary: &Summary) -> String {
    match summary.standard_deviation {
        Some(deviation) => format!("{:.2} ± {:.2} %", 100.0 * summary.mean, 100.0 * deviation),
        None => format!("{:.2} %", 100.0 * summary.mean),
    }
}

/// A number with at most six significant digits, which hides the rounding errors of products such as 0.003 · 1.4.
pub(super) fn shortest(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    rounded.to_string()
}

/// Columns of equal width. Each row has one line: labels are those of files.
fn grid(rows: &[Vec<String>]) -> String {
    const LONGEST: usize = 100;
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shortened(cell, LONGEST)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use twins_train::{Accuracy, Method};

    use super::super::results::{RunResult, RunScore, TrialResult};
    use super::super::{Divergence, PairedDifference};
    use super::*;
    use crate::study::SeedDifference;

    fn summary(mean: f64, deviation: Option<f64>, difference: Option<[f64; 3]>) -> ArmSummary {
        let difference = difference.map(|[mean, low, high]| SeedDifferences {
            seeds: vec![SeedDifference { seed: 0, difference: mean }],
            paired: PairedDifference {
                summary: Summary { count: 2, mean, standard_deviation: Some(0.001) },
                interval: Some([low, high]),
            },
        });
        let summary = Summary { count: 2, mean, standard_deviation: deviation };
        ArmSummary { metric: ScoreKind::Clean, checkpoint: Checkpoint::Best, summary, difference }
    }

    fn arm(name: &str, summary: Option<ArmSummary>) -> ArmResults {
        let score = RunScore { metric: ScoreKind::Clean, accuracy: Accuracy { correct: 1, total: 2 } };
        let scores = vec![score];
        let run = |seed| RunResult {
            seed,
            best: None,
            scores: scores.clone(),
            last_scores: Vec::new(),
            diverged: None,
            epochs: Vec::new(),
        };
        ArmResults {
            name: name.to_owned(),
            method: Method::At,
            learning_rate: Some(0.003 * 1.4),
            settings_from: SettingsFrom::Trials(vec![Candidate::of_learning_rate(0.003)]),
            chosen: None,
            trials: Vec::new(),
            runs: (0..if summary.is_some() { 2 } else { 0 }).map(run).collect(),
            summaries: summary.into_iter().collect(),
        }
    }

    #[test]
    fn the_table_says_what_is_known_and_what_is_missing() {
        let divergence = Divergence { what: "the loss is not finite (inf)".to_owned(), epoch: 2, step: 3 };
        let rate = Candidate::of_learning_rate;
        let mut waiting = arm("twins-at", None);
        waiting.learning_rate = None;
        waiting.trials = vec![TrialResult {
            candidate: rate(10.0),
            best: None,
            diverged: Some(divergence),
            epochs: Vec::new(),
        }];
        let results = StudyResults {
            name: "Title".to_owned(),
            baseline: "at".to_owned(),
            seeds: vec![0, 1],
            metrics: vec![Metric { kind: ScoreKind::Clean, label: "clean".to_owned(), images: Some(50) }],
            last_metrics: Vec::new(),
            arms: vec![
                ArmResults {
                    settings_from: SettingsFrom::Trials([0.003, 0.001, 0.0042].map(rate).to_vec()),
                    chosen: Some(rate(0.0042)),
                    learning_rate: Some(0.0042),
                    ..arm("at", Some(summary(0.5, Some(0.012_345), None)))
                },
                arm("trades", Some(summary(0.51, None, Some([0.01, -0.002, 0.022])))),
                waiting,
            ],
            missing: vec![
                StudyJob::Trial { arm: "twins-at".to_owned(), candidate: rate(0.1) },
                StudyJob::Run { arm: "twins-at".to_owned(), seed: 0 },
                StudyJob::Run { arm: "twins-at".to_owned(), seed: 1 },
            ],
        };
        let expected = "Title\n\n\
            arm       learning rate  seeds   clean (50 images)\n\
            at        0.0042         2 of 2  50.00 ± 1.23 %\n\
            trades    0.0042         2 of 2  51.00 %\n\
            twins-at  –              0 of 2  –\n\
            \n\
            Differences to at in percentage points: mean ± standard deviation over the seeds that both have, [95 % interval of the mean]\n\
            \n\
            arm     clean\n\
            trades  +1.00 ± 0.10 [-0.20, +2.20]\n\
            \n\
            The trial (learning rate 10) of twins-at diverged: the loss is not finite (inf) at step 3 of epoch 2\n\
            The chosen learning rate of at is the highest of those tried; one beyond it may be better\n\
            Not finished: 1 trial and 2 runs\n";
        assert_eq!(results.to_table(), expected);
    }

    #[test]
    fn other_settings_that_were_chosen_are_shown() {
        let candidate =
            |rate: f64, lambda: f64| Candidate::of_learning_rate(rate).with_setting("lambda", lambda);
        let results = |chosen: Candidate| {
            let candidates = [
                candidate(0.1, 1.0),
                candidate(0.2, 1.0),
                candidate(0.3, 1.0),
                candidate(0.05, 0.5),
                candidate(0.4, 0.5),
            ];
            let twins = ArmResults {
                learning_rate: chosen.learning_rate(),
                settings_from: SettingsFrom::Trials(candidates.to_vec()),
                chosen: Some(chosen),
                ..arm("twins-at", Some(summary(0.5, None, None)))
            };
            StudyResults {
                name: "Title".to_owned(),
                baseline: "at".to_owned(),
                seeds: vec![0, 1],
                metrics: vec![Metric { kind: ScoreKind::Clean, label: "clean".to_owned(), images: None }],
                last_metrics: Vec::new(),
                arms: vec![arm("at", Some(summary(0.5, None, None))), twins],
                missing: Vec::new(),
            }
        };
        let table = "Title\n\n\
            arm       learning rate  other settings  seeds   clean\n\
            at        0.0042         –               2 of 2  50.00 %\n\
            twins-at  0.3            lambda 1        2 of 2  50.00 %\n\
            \n\
            The chosen learning rate of twins-at is the highest of those tried; one beyond it may be better\n";
        let highest = results(candidate(0.3, 1.0));
        assert_eq!(highest.to_table(), table);
        let html = &highest.tables()[0];
        assert_eq!(html.columns[1].heading, "other settings");
        assert!(html.to_string().contains("| twins-at | 0.3 | lambda 1 | 50.00 |"), "{html}");
        for (chosen, notes) in [
            (candidate(0.1, 1.0), 1),
            (candidate(0.2, 1.0), 0),
            // There are two with this lambda.
            (candidate(0.4, 0.5), 0),
        ] {
            assert_eq!(results(chosen.clone()).notes().len(), notes, "{chosen}");
        }
    }

    #[test]
    fn last_checkpoints_have_a_table_of_their_own() {
        let of = |checkpoint, mean, deviation, difference| ArmSummary {
            checkpoint,
            ..summary(mean, deviation, difference)
        };
        let arm = |name: &str, gap: f64, differences: Option<[[f64; 3]; 2]>| ArmResults {
            summaries: vec![
                of(Checkpoint::Best, 0.5, Some(0.01), None),
                of(Checkpoint::Last, 0.5 - gap, Some(0.02), differences.map(|[last, _]| last)),
                of(Checkpoint::Gap, gap, Some(0.015), differences.map(|[_, gap]| gap)),
            ],
            ..arm(name, Some(summary(0.5, Some(0.01), None)))
        };
        let metric = |images| vec![Metric { kind: ScoreKind::Clean, label: "clean".to_owned(), images }];
        let results = StudyResults {
            name: "Title".to_owned(),
            baseline: "at".to_owned(),
            seeds: vec![0, 1],
            metrics: metric(Some(50)),
            last_metrics: metric(Some(50)),
            arms: vec![
                arm("at", 0.1, None),
                arm("trades", -0.004, Some([[0.104, 0.1, 0.108], [-0.104, -0.108, -0.1]])),
            ],
            missing: Vec::new(),
        };
        let expected = "\n\
            Last checkpoint, and what the best has more than the last in percentage points\n\
            \n\
            arm     last: clean (50 images)  best − last: clean (50 images)\n\
            at      40.00 ± 2.00 %           +10.00 ± 1.50\n\
            trades  50.40 ± 2.00 %           -0.40 ± 1.50\n\
            \n\
            Differences of these to at\n\
            \n\
            arm     last: clean                     best − last: clean\n\
            trades  +10.40 ± 0.10 [+10.00, +10.80]  -10.40 ± 0.10 [-10.80, -10.00]\n";
        assert!(results.to_table().ends_with(&expected), "{}", results.to_table());
        let tables = results.tables();
        let last = tables.iter().find(|table| table.caption.starts_with("Last checkpoint")).unwrap();
        assert!(last.to_string().contains("| at | 40.00 ± 2.00 | 10.00 ± 1.50 |"), "{last}");
        let differences = tables.last().unwrap().to_string();
        assert!(
            differences.contains("| trades − at | +10.40 [+10.00 to +10.80 (2 pairs)] |"),
            "{differences}"
        );
    }
}

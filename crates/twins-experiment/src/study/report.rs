use std::path::{Path, PathBuf};

use twins_report::{Report, RunRecord, ScoreKind, StudyArm, StudyCell, StudyColumn, StudyGaps, StudyTable};

use super::results::{ArmResults, Metric, StudyResults};
use super::summary::{ArmSummary, Checkpoint};
use super::table::{OF_LAST, columns, shortest};
use crate::error::ExperimentError;

/// A run of a study: its arm and its directory.
pub(super) type RunOfArm = (String, PathBuf);

/// Writes the report of a study, with its runs grouped by arm, and of other runs.
pub(super) fn write(
    path: &Path,
    study: &StudyResults,
    runs: &[RunOfArm],
    others: &[PathBuf],
) -> Result<(), ExperimentError> {
    let directories: Vec<&PathBuf> = runs.iter().map(|(_, directory)| directory).chain(others).collect();
    let report = Report::of_directories(&directories)?;
    // Each directory of the study contains one run.
    let found: Vec<(&str, &RunRecord)> =
        runs.iter().map(|(arm, _)| arm.as_str()).zip(report.runs()).collect();
    let arms: Vec<StudyArm> = found
        .chunk_by(|a, b| a.0 == b.0)
        .map(|runs| StudyArm::new(runs[0].0, runs.iter().map(|(_, run)| run.history.clone())))
        .collect();
    let report = study.tables().into_iter().fold(report.with_title(&study.name), Report::with_study);
    Ok(arms.into_iter().fold(report, Report::with_study_arm).write(path)?)
}

impl StudyResults {
    /// The tables of the report: means over the seeds, and paired differences to the baseline; also for the last checkpoints, if they were
    /// evaluated, with the gaps of all runs.
    pub fn tables(&self) -> Vec<StudyTable> {
        let mut tables = vec![self.table_of_means()];
        let caption = format!("Differences to {} in percentage points", self.baseline);
        let differences = self.table_of_differences(&caption, &self.metrics, &[Checkpoint::Best]);
        tables.extend(
            differences.map(|table| self.conclusions().into_iter().fold(table, StudyTable::with_note)),
        );
        if !self.last_metrics.is_empty() {
            tables.push(self.table_of_last());
            let caption = format!("Last checkpoint: differences to {} in percentage points", self.baseline);
            tables.extend(self.table_of_differences(&caption, &self.last_metrics, &OF_LAST));
        }
        tables
    }

    fn table_of_last(&self) -> StudyTable {
        let heading = |(metric, checkpoint): (&Metric, Checkpoint)| {
            let unit = if checkpoint == Checkpoint::Gap { "points" } else { "%" };
            StudyColumn::new(format!("{} ({unit})", checkpoint.heading(&metric.heading())), 2)
        };
        let caption = "Last checkpoint: accuracy on the test images, and what the best checkpoint has more, mean and sample standard deviation \
                       over the seeds";
        let mut table = StudyTable::new(caption, columns(&self.last_metrics, &OF_LAST).map(heading));
        for arm in &self.arms {
            let cells = columns(&self.last_metrics, &OF_LAST)
                .map(|(metric, checkpoint)| arm.cell(metric.kind, checkpoint, ArmSummary::mean_cell));
            table.push(arm.name.as_str(), cells.collect());
        }
        let table = table
            .with_note("The gap between best and last is taken for each run. Of robust accuracy it is the robust overfitting.");
        self.last_metrics.iter().map(|metric| self.gaps(metric)).fold(table, StudyTable::with_gaps)
    }

    /// The gap between best and last of every run.
    fn gaps(&self, metric: &Metric) -> StudyGaps {
        let arms = self.arms.iter().map(|arm| {
            let gaps = arm.runs.iter().filter_map(|run| run.value(metric.kind, Checkpoint::Gap));
            (arm.name.clone(), gaps.map(|gap| 100.0 * gap).collect::<Vec<f64>>())
        });
        StudyGaps::new(Checkpoint::Gap.heading(&metric.heading()), arms)
    }

    fn table_of_means(&self) -> StudyTable {
        let metrics =
            self.metrics.iter().map(|metric| StudyColumn::new(format!("{} (%)", metric.heading()), 2));
        let others = self.has_other_settings().then(|| StudyColumn::new("other settings", 0));
        let columns = std::iter::once(StudyColumn::new("learning rate", 0)).chain(others).chain(metrics);
        let caption = "Accuracy on the test images: mean and sample standard deviation over the seeds";
        let mut table = StudyTable::new(caption, columns);
        for arm in &self.arms {
            let text =
                |text: Option<String>| text.map_or(StudyCell::Missing, |text| StudyCell::Text { text });
            let rate = text(arm.learning_rate.map(shortest));
            let others = arm.other_settings().map(|others| others.to_string());
            let others = self.has_other_settings().then(|| text(others));
            let means = self
                .metrics
                .iter()
                .map(|metric| arm.cell(metric.kind, Checkpoint::Best, ArmSummary::mean_cell));
            table.push(arm.name.as_str(), std::iter::once(rate).chain(others).chain(means).collect());
        }
        self.notes().into_iter().fold(table, StudyTable::with_note)
    }

    /// `None` if nothing has been compared yet.
    fn table_of_differences(
        &self,
        caption: &str,
        metrics: &[Metric],
        checkpoints: &[Checkpoint],
    ) -> Option<StudyTable> {
        let heading = |(metric, checkpoint): (&Metric, Checkpoint)| {
            StudyColumn::new(format!("{} (points)", checkpoint.heading(&metric.label)), 2)
        };
        let caption = format!("{caption}: mean over the seeds that both have");
        let mut table = StudyTable::new(caption, columns(metrics, checkpoints).map(heading));
        for arm in self.arms.iter().filter(|arm| arm.is_compared()) {
            let cells = columns(metrics, checkpoints)
                .map(|(metric, checkpoint)| arm.cell(metric.kind, checkpoint, ArmSummary::difference_cell));
            table.push(format!("{} − {}", arm.name, self.baseline), cells.collect());
        }
        let note = "Intervals cover 95 %: Student's t distribution over the differences of runs with the same seed. They say how far the mean \
                    over other seeds may be from this one.";
        (!table.rows.is_empty()).then(|| table.with_note(note))
    }
}

impl ArmResults {
    fn cell(
        &self,
        metric: ScoreKind,
        checkpoint: Checkpoint,
        cell: impl Fn(&ArmSummary) -> StudyCell,
    ) -> StudyCell {
        self.summary(metric, checkpoint).map_or(StudyCell::Missing, cell)
    }
}

impl ArmSummary {
    fn mean_cell(&self) -> StudyCell {
        StudyCell::Mean {
            mean: 100.0 * self.summary.mean,
            deviation: self.summary.standard_deviation.map(|deviation| 100.0 * deviation),
            count: self.summary.count,
        }
    }

    fn difference_cell(&self) -> StudyCell {
        let Some(difference) = &self.difference else { return StudyCell::Missing };
        StudyCell::Difference {
            mean: 100.0 * difference.paired.summary.mean,
            interval: difference.paired.interval.map(|ends| ends.map(|end| 100.0 * end)),
            count: difference.paired.summary.count,
        }
    }
}

use std::fmt;

use serde::{Deserialize, Serialize};
use twins_train::EpochMetrics;

/// A table of a study with a row for each arm (method or control) and a column for each metric. The cells contain means
/// over seeds or paired differences.
///
/// The table contains only data; the program that runs the study computes the numbers. A [`Report`](crate::Report) shows
/// tables before everything else. Tables can be serialised, and [`Display`](fmt::Display) writes them as Markdown.
///
/// ```
/// use twins_report::{StudyCell, StudyColumn, StudyTable};
///
/// let mut table = StudyTable::new("Test accuracy over 3 seeds", [StudyColumn::new("clean (%)", 2)]);
/// table.push("twins-at", vec![StudyCell::Mean { mean: 81.25, deviation: Some(0.4), count: 3 }]);
/// assert!(table.to_string().contains("| twins-at | 81.25 ± 0.40 |"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyTable {
    /// The caption.
    pub caption: String,
    /// The columns after the names of the arms.
    pub columns: Vec<StudyColumn>,
    /// The rows: arms or comparisons of two arms.
    pub rows: Vec<StudyRow>,
    /// Explanations below the table, such as how intervals are computed.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The gaps that a [`Report`](crate::Report) draws below the table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<StudyGaps>,
}

/// A column of a [`StudyTable`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyColumn {
    /// The metric with its unit, such as `clean (%)`.
    pub heading: String,
    /// The number of digits after the decimal point.
    pub decimals: usize,
}

/// A row of a [`StudyTable`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyRow {
    /// The name of the arm, or of the two arms that are compared.
    pub name: String,
    /// A cell for each column.
    pub cells: Vec<StudyCell>,
}

/// A value of a [`StudyTable`], in the unit of its column. Numbers must be finite, because JSON cannot represent
/// others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StudyCell {
    /// Nothing was measured.
    Missing,
    /// A text, such as the selected learning rate.
    Text {
        /// The text.
        text: String,
    },
    /// A mean over runs.
    Mean {
        /// The mean.
        mean: f64,
        /// The sample standard deviation; `None` for a single run.
        deviation: Option<f64>,
        /// The number of runs.
        count: usize,
    },
    /// A mean of paired differences, each between two runs with the same seed, with and without a change.
    Difference {
        /// The mean of the differences.
        mean: f64,
        /// The ends of the mean's 95 % confidence interval; `None` for a single pair.
        interval: Option<[f64; 2]>,
        /// The number of pairs.
        count: usize,
    },
}

/// How much more accurate the best checkpoint of each run is than the last one, by one metric. A [`Report`](crate::Report) draws a chart of
/// the runs of each arm and their mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyGaps {
    /// The title of the chart.
    pub title: String,
    /// The name of each arm, and the gaps of its runs in percentage points. Numbers must be finite, because JSON cannot represent others.
    pub arms: Vec<(String, Vec<f64>)>,
}

/// The training runs of an arm of a study. A [`Report`](crate::Report) draws their mean over the seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyArm {
    /// The name of the arm.
    pub name: String,
    /// The epochs of the run with each seed.
    pub runs: Vec<Vec<EpochMetrics>>,
}

impl StudyArm {
    /// Creates an arm from the epochs of its runs.
    pub fn new(name: impl Into<String>, runs: impl IntoIterator<Item = Vec<EpochMetrics>>) -> Self {
        Self { name: name.into(), runs: runs.into_iter().collect() }
    }
}

impl StudyTable {
    /// Creates a table without rows.
    pub fn new(caption: impl Into<String>, columns: impl IntoIterator<Item = StudyColumn>) -> Self {
        Self {
            caption: caption.into(),
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
            notes: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If the number of cells differs from the number of columns.
    pub fn push(&mut self, name: impl Into<String>, cells: Vec<StudyCell>) {
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(StudyRow { name: name.into(), cells });
    }

    /// Adds an explanation below the table.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds gaps that a report draws below the table.
    #[must_use]
    pub fn with_gaps(mut self, gaps: StudyGaps) -> Self {
        self.gaps.push(gaps);
        self
    }
}

impl StudyGaps {
    /// Creates gaps from the title of their chart, and the name and the gaps of each arm.
    pub fn new(title: impl Into<String>, arms: impl IntoIterator<Item = (String, Vec<f64>)>) -> Self {
        Self { title: title.into(), arms: arms.into_iter().collect() }
    }
}

impl StudyColumn {
    /// Creates a column from a heading with its unit and the number of digits after the decimal point.
    pub fn new(heading: impl Into<String>, decimals: usize) -> Self {
        Self { heading: heading.into(), decimals }
    }
}

impl StudyCell {
    /// The value as text, and the detail that is shown with it.
    pub(crate) fn texts(&self, decimals: usize) -> (String, String) {
        let counted = |count: usize, thing: &str| match count {
            1 => format!("1 {thing}"),
            _ => format!("{count} {thing}s"),
        };
        match self {
            StudyCell::Missing => ("–".to_owned(), String::new()),
            StudyCell::Text { text } => (text.clone(), String::new()),
            StudyCell::Mean { mean, deviation, count } => {
                let deviation = deviation.map_or_else(String::new, |d| format!(" ± {d:.decimals$}"));
                (format!("{mean:.decimals$}{deviation}"), counted(*count, "run"))
            }
            StudyCell::Difference { mean, interval, count } => {
                let pairs = counted(*count, "pair");
                let detail = interval.map_or_else(
                    || pairs.clone(),
                    |[low, high]| format!("{low:+.decimals$} to {high:+.decimals$} ({pairs})"),
                );
                (format!("{mean:+.decimals$}"), detail)
            }
        }
    }
}

impl fmt::Display for StudyTable {
    /// Writes Markdown with the caption, the table and the notes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A cell must not contain a line break, which ends the row, or an unescaped bar, which ends the cell.
        let cell = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
        let headings: String =
            self.columns.iter().map(|column| format!(" {} |", cell(&column.heading))).collect();
        writeln!(f, "{}\n\n| |{headings}", cell(&self.caption))?;
        writeln!(f, "|---|{}", "---:|".repeat(self.columns.len()))?;
        for row in &self.rows {
            write!(f, "| {} |", cell(&row.name))?;
            for (value, column) in row.cells.iter().zip(&self.columns) {
                let (text, detail) = value.texts(column.decimals);
                match value {
                    // A difference is only meaningful with its interval. The caption can state the number of runs.
                    StudyCell::Difference { interval: Some(_), .. } => {
                        write!(f, " {} [{}] |", cell(&text), cell(&detail))?;
                    }
                    _ => write!(f, " {} |", cell(&text))?,
                }
            }
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "\n{note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn table() -> StudyTable {
        let columns = [StudyColumn::new("clean (%)", 1), StudyColumn::new("rate | lr", 0)];
        let gaps = StudyGaps::new("best − last: clean", [("at".to_owned(), vec![0.5, -0.25, 1.0])]);
        let mut table =
            StudyTable::new("Three seeds", columns).with_note("Intervals: t distribution.").with_gaps(gaps);
        let text = |text: &str| StudyCell::Text { text: text.to_owned() };
        table
            .push("at", vec![StudyCell::Mean { mean: 81.26, deviation: Some(0.44), count: 3 }, text("0.01")]);
        let interval = Some([-0.24, 1.26]);
        table.push(
            "twins-at − at",
            vec![StudyCell::Difference { mean: 0.51, interval, count: 3 }, StudyCell::Missing],
        );
        table
    }

    #[test]
    fn the_text_is_markdown() {
        let lines = [
            "Three seeds",
            "",
            "| | clean (%) | rate \\| lr |",
            "|---|---:|---:|",
            "| at | 81.3 ± 0.4 | 0.01 |",
            "| twins-at − at | +0.5 [-0.2 to +1.3 (3 pairs)] | – |",
            "",
            "Intervals: t distribution.",
        ];
        assert_eq!(table().to_string().lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn json_keeps_a_table() {
        let text = serde_json::to_string(&table()).unwrap();
        assert_eq!(serde_json::from_str::<StudyTable>(&text).unwrap(), table());
        assert!(text.contains(r#"{"kind":"mean","mean":81.26,"deviation":0.44,"count":3}"#), "{text}");
        let without_gaps = serde_json::to_string(&StudyTable { gaps: Vec::new(), ..table() }).unwrap();
        assert!(serde_json::from_str::<StudyTable>(&without_gaps).unwrap().gaps.is_empty(), "{without_gaps}");
    }

    #[test]
    fn single_runs_have_no_deviation() {
        let single = StudyCell::Mean { mean: 50.0, deviation: None, count: 1 };
        assert_eq!(single.texts(1), ("50.0".to_owned(), "1 run".to_owned()));
        let pair = StudyCell::Difference { mean: -0.5, interval: None, count: 1 };
        assert_eq!(pair.texts(1), ("-0.5".to_owned(), "1 pair".to_owned()));
    }

    #[test]
    #[should_panic(expected = "a cell for each column")]
    fn a_row_of_another_length_is_refused() {
        table().push("x", vec![StudyCell::Missing]);
    }
}

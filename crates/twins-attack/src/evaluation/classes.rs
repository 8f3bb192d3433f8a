use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use twins_files::shortened;

use super::report::{Count, Report};
use super::sample_record::SampleRecord;

/// Accuracy on the samples of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClassReport {
    /// Number of the class.
    pub class: usize,
    /// Clean accuracy.
    pub clean: Count,
    /// Robust accuracy under all threat models together.
    pub robust: Count,
}

/// The number of characters of a class name in a table.
const LONGEST_NAME: usize = 40;

impl ClassReport {
    pub(super) fn count(samples: &[SampleRecord]) -> Vec<Self> {
        let mut classes = BTreeMap::new();
        for sample in samples {
            let none = Count { correct: 0, total: 0 };
            let empty = Self { class: sample.label, clean: none, robust: none };
            let class = classes.entry(sample.label).or_insert(empty);
            class.clean.total += 1;
            class.robust.total += 1;
            class.clean.correct += usize::from(sample.clean_prediction == sample.label);
            class.robust.correct += usize::from(sample.broken_by.is_none());
        }
        classes.into_values().collect()
    }
}

impl Report {
    /// Returns a human-readable table of the clean and robust accuracy of each class. Classes without a name in `names`
    /// are shown as numbers. Each class has one line: control characters are escaped, and long names are shortened.
    ///
    /// ```text
    /// class                clean         %    robust         %
    /// cat                  90/100    90.00    31/100     31.00
    /// ```
    pub fn classes_table(&self, names: &[String]) -> String {
        let mut table = format!("{:<14} {:>11} {:>9} {:>11} {:>9}", "class", "clean", "%", "robust", "%");
        for ClassReport { class, clean, robust } in &self.classes {
            let name =
                names.get(*class).map_or_else(|| class.to_string(), |name| shortened(name, LONGEST_NAME));
            let of = |count: Count| format!("{}/{}", count.correct, count.total);
            // Writing to a string cannot fail.
            let _ = write!(
                table,
                "\n{name:<14} {:>11} {:>9.2} {:>11} {:>9.2}",
                of(*clean),
                100.0 * clean.fraction(),
                of(*robust),
                100.0 * robust.fraction()
            );
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_without_samples_are_left_out() {
        let sample = |label, clean_prediction, broken: bool| SampleRecord {
            index: 0,
            label,
            clean_prediction,
            broken_by: broken.then(|| "pgd".to_owned()),
            distance: None,
            distances: Vec::new(),
        };
        let samples = [sample(3, 3, false), sample(0, 1, true), sample(3, 3, true), sample(3, 0, true)];
        let count = |correct, total| Count { correct, total };
        let expected = [
            ClassReport { class: 0, clean: count(0, 1), robust: count(0, 1) },
            ClassReport { class: 3, clean: count(2, 3), robust: count(1, 3) },
        ];
        assert_eq!(ClassReport::count(&samples), expected);
    }
}

//! Functions that several sections use, such as charts with a line for each run.

use twins_train::{Accuracy, EpochMetrics};

use crate::html::chart::{Chart, Series};
use crate::html::line_style::LineStyle;
use crate::record::run_record::RunRecord;

/// A chart over epochs with a line for each run. A run has the same style in all charts.
pub(crate) fn over_epochs(
    title: &str,
    y: &str,
    runs: &[RunRecord],
    value: impl Fn(&EpochMetrics) -> Option<f64>,
) -> Chart {
    Chart {
        title: title.to_owned(),
        x: "epoch".to_owned(),
        y: y.to_owned(),
        whole_x: true,
        series: lines(runs, |run| epoch_points(run, &value)),
        ..Chart::default()
    }
}

/// A line for each run that has points.
pub(crate) fn lines(runs: &[RunRecord], points: impl Fn(&RunRecord) -> Vec<(f64, f64)>) -> Vec<Series> {
    let series = runs.iter().enumerate().map(|(index, run)| Series {
        label: run.name.clone(),
        style: LineStyle::new(index),
        points: points(run),
    });
    series.filter(|series| !series.points.is_empty()).collect()
}

/// The values of all epochs that have one.
pub(crate) fn epoch_points(run: &RunRecord, value: impl Fn(&EpochMetrics) -> Option<f64>) -> Vec<(f64, f64)> {
    run.history.iter().filter_map(|metrics| Some((metrics.epoch as f64, value(metrics)?))).collect()
}

/// Sorts layers by their names, with numbers within a name in numerical order.
pub(crate) fn in_order<'a, T>(
    layers: impl IntoIterator<Item = (&'a String, &'a T)>,
) -> Vec<(&'a String, &'a T)> {
    let mut layers: Vec<_> = layers.into_iter().collect();
    layers.sort_by_key(|(path, _)| numerical_order(path));
    layers
}

/// Splits a path so that `layer10` comes after `layer2`.
fn numerical_order(path: &str) -> Vec<(String, u64)> {
    path.split('.')
        .map(|part| {
            let digits = part.trim_start_matches(|character: char| !character.is_ascii_digit());
            (part[..part.len() - digits.len()].to_owned(), digits.parse().unwrap_or(0))
        })
        .collect()
}

/// Formats an accuracy as `52.30 %`.
pub(crate) fn percent(accuracy: Accuracy) -> String {
    format!("{:.2} %", accuracy.percent())
}

/// Joins names with commas, and with "and" before the last.
pub(crate) fn enumeration(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn layers_are_in_numerical_order() {
        let layers: BTreeMap<String, ()> =
            ["layers.10.conv", "conv1", "layers.2.conv", "fc"].map(|path| (path.to_owned(), ())).into();
        let paths: Vec<&String> = in_order(&layers).into_iter().map(|(path, ())| path).collect();
        assert_eq!(paths, ["conv1", "fc", "layers.2.conv", "layers.10.conv"]);
    }

    #[test]
    fn names_are_enumerated() {
        assert_eq!(enumeration(&["at"]), "at");
        assert_eq!(enumeration(&["at", "mart", "trades"]), "at, mart and trades");
    }
}

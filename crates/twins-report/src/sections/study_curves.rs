use std::collections::BTreeMap;

use twins_train::EpochMetrics;

use crate::html::chart::{Chart, Series};
use crate::html::line_style::LineStyle;
use crate::html::page::{paragraph, side_by_side};
use crate::html::ticks::Scale;
use crate::sections::wing_drift;
use crate::study::StudyArm;

/// The quantity of a chart: title, unit, scale, and the function that returns the value of an epoch.
type Quantity = (&'static str, &'static str, Scale, fn(&EpochMetrics) -> Option<f64>);

const QUANTITIES: [Quantity; 4] = [
    ("Robust accuracy on the validation split", "accuracy (%)", Scale::Linear, |metrics| {
        Some(metrics.validation_robust_accuracy?.percent())
    }),
    (
        "Effective learning rate",
        "learning rate / ‖w‖²",
        Scale::Logarithmic,
        EpochMetrics::effective_learning_rate,
    ),
    ("Drift between the wings: means", "|μ_a − μ_f| / σ_f", Scale::Linear, wing_drift::mean_shift),
    ("Drift between the wings: variances", "|ln(var_a / var_f)|", Scale::Linear, wing_drift::variance_ratio),
];

/// Charts over epochs with a line for each arm, which shows the mean over its seeds.
pub(crate) fn section_of(arms: &[StudyArm]) -> String {
    let charts: String = QUANTITIES
        .iter()
        .map(|(title, unit, scale, value)| {
            let series = arms.iter().enumerate().map(|(index, arm)| Series {
                label: arm.name.clone(),
                style: LineStyle::new(index),
                points: means(arm, *value),
            });
            let chart = Chart {
                title: format!("{title}: mean over the seeds"),
                x: "epoch".to_owned(),
                y: (*unit).to_owned(),
                y_scale: *scale,
                whole_x: true,
                series: series.filter(|series| !series.points.is_empty()).collect(),
                ..Chart::default()
            };
            chart.to_html()
        })
        .collect();
    if charts.is_empty() {
        return charts;
    }
    let text = "Each line is the mean over the runs of an arm, at the epochs that all of them have. The effective learning rate is the geometric \
                mean over the layers, the drift the mean over the layers.";
    paragraph(text) + &side_by_side(&charts)
}

/// The mean over the runs, at every epoch for which all runs have a value.
fn means(arm: &StudyArm, value: fn(&EpochMetrics) -> Option<f64>) -> Vec<(f64, f64)> {
    let mut values: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for metrics in arm.runs.iter().flatten() {
        values.entry(metrics.epoch).or_default().extend(value(metrics));
    }
    let complete = values.into_iter().filter(|(_, values)| values.len() == arm.runs.len());
    complete.map(|(epoch, values)| (epoch as f64, values.iter().sum::<f64>() / values.len() as f64)).collect()
}

#[cfg(test)]
mod tests {
    use twins_nn::WingDrift;

    use super::*;
    use crate::example::epoch;

    #[test]
    fn lines_are_means_over_the_seeds() {
        // Of 20 images.
        let arm = StudyArm::new(
            "at",
            [vec![epoch(1, 10, 0), epoch(2, 8, 0), epoch(3, 9, 0)], vec![epoch(1, 11, 0), epoch(2, 4, 0)]],
        );
        let robust = QUANTITIES[0].3;
        assert_eq!(means(&arm, robust), [(1.0, 52.5), (2.0, 30.0)], "one of the runs has no third epoch");
        let html = section_of(&[arm]);
        assert_eq!(html.matches("<figure>").count(), 1, "neither layers nor wings: {html}");
        assert!(html.contains("at: 52.5 at 1, 30 at 2."), "{html}");
        assert!(section_of(&[]).is_empty() && section_of(&[StudyArm::new("at", [])]).is_empty());
    }

    #[test]
    fn drift_has_charts_for_arms_with_two_wings() {
        let drifting = |mean_shift| {
            let mut epoch = epoch(1, 10, 10);
            for (layer, factor) in [("a", 0.5), ("b", 1.5)] {
                let drift = WingDrift { mean_shift: factor * mean_shift, variance_ratio: 0.25 };
                epoch.wing_drift.insert(layer.to_owned(), drift);
            }
            epoch
        };
        let twins = StudyArm::new("twins-at", [vec![drifting(0.2)], vec![drifting(0.4)]]);
        let [(_, shift)] = means(&twins, QUANTITIES[2].3)[..] else { panic!("one epoch") };
        assert!((shift - 0.3).abs() < 1e-15, "{shift}");
        assert_eq!(means(&twins, QUANTITIES[3].3), [(1.0, 0.25)]);
        let html = section_of(&[StudyArm::new("at", [vec![epoch(1, 10, 10)]]), twins]);
        assert_eq!(html.matches("<figure>").count(), 3, "{html}");
    }
}

use twins_nn::WingDrift;
use twins_train::EpochMetrics;

use crate::html::chart::Chart;
use crate::html::page::{details, paragraph, side_by_side};
use crate::html::table::Table;
use crate::record::run_record::RunRecord;
use crate::sections::per_run::{in_order, lines, over_epochs};

type Quantity = (&'static str, &'static str, fn(&WingDrift) -> f64);

const QUANTITIES: [Quantity; 2] = [
    ("Shift of the means", "|μ_a − μ_f| / σ_f", |drift| drift.mean_shift),
    ("Ratio of the variances", "|ln(var_a / var_f)|", |drift| drift.variance_ratio),
];

/// How far the adaptive wing's running statistics have moved from the frozen wing's.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    if runs.iter().flat_map(|run| &run.history).all(|metrics| metrics.wing_drift.is_empty()) {
        return String::new();
    }
    let text = "The frozen wing keeps the statistics of the pre-training; the running statistics of the adaptive wing follow \
                the new data. Values are means over channels, and in the charts over epochs over layers too. Subscript a is \
                the adaptive wing, f the frozen one.";
    let charts: String = QUANTITIES
        .into_iter()
        .map(|(name, unit, value)| {
            let title = format!("{name} over epochs");
            let over_epochs = over_epochs(&title, unit, runs, |metrics| mean(metrics, value));
            let by_layer = Chart {
                title: format!("{name} by layer, last epoch"),
                x: "layer (number in the table)".to_owned(),
                y: unit.to_owned(),
                whole_x: true,
                series: lines(runs, |run| {
                    (1..).map(f64::from).zip(layers(run).iter().map(|l| value(l.1))).collect()
                }),
                ..Chart::default()
            };
            over_epochs.to_html() + &by_layer.to_html()
        })
        .collect();
    paragraph(text) + &side_by_side(&charts) + &runs.iter().map(table).collect::<String>()
}

/// The mean over the layers.
pub(crate) fn mean_shift(metrics: &EpochMetrics) -> Option<f64> {
    mean(metrics, |drift| drift.mean_shift)
}

/// The mean over the layers.
pub(crate) fn variance_ratio(metrics: &EpochMetrics) -> Option<f64> {
    mean(metrics, |drift| drift.variance_ratio)
}

fn mean(metrics: &EpochMetrics, value: fn(&WingDrift) -> f64) -> Option<f64> {
    let count = metrics.wing_drift.len();
    (count > 0).then(|| metrics.wing_drift.values().map(value).sum::<f64>() / count as f64)
}

/// The layers of the last epoch.
fn layers(run: &RunRecord) -> Vec<(&String, &WingDrift)> {
    run.history.last().map(|metrics| in_order(&metrics.wing_drift)).unwrap_or_default()
}

fn table(run: &RunRecord) -> String {
    let caption = format!("Wing drift of {} by layer in the last epoch", run.name);
    let mut table =
        Table::of_numbers(caption.as_str(), ["layer", "number", QUANTITIES[0].1, QUANTITIES[1].1]);
    for (index, (path, WingDrift { mean_shift, variance_ratio })) in layers(run).into_iter().enumerate() {
        let cells = [(index + 1).to_string(), format!("{mean_shift:.4}"), format!("{variance_ratio:.4}")];
        table.push(path, cells);
    }
    if table.is_empty() { String::new() } else { details(&caption, &table.to_html()) }
}

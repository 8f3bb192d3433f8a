use twins_nn::WingDrift;

use crate::chart::{Chart, Series};
use crate::epochs::{by_epoch, points};
use crate::error::ReportError;
use crate::html::{Table, details, paragraph};
use crate::layers::natural;
use crate::run::ReportRun;
use twins_train::EpochMetrics;

type Quantity = (&'static str, &'static str, fn(&WingDrift) -> f64);

const QUANTITIES: [Quantity; 2] = [
    ("Shift of the means", "|mu_a − mu_f| (frozen σ)", |drift| drift.mean_shift),
    ("Ratio of the variances", "|ln(var_a / var_f)|", |drift| drift.variance_ratio),
];

/// How far the adaptive wing's running statistics have moved from the frozen wing's.
pub(crate) fn section_of(runs: &[ReportRun]) -> Result<String, ReportError> {
    let runs: Vec<&ReportRun> =
        runs.iter().filter(|run| run.history.iter().any(|metrics| !metrics.wing_drift.is_empty())).collect();
    if runs.is_empty() {
        return Ok(String::new());
    }
    let mut html = paragraph(
        "The frozen wing keeps the statistics of the pre-training; the adaptive wing's running statistics follow the new \
         data. Means over channels; over epochs also over layers.",
    );
    html += "<div class=\"charts\">\n";
    for (name, unit, value) in QUANTITIES {
        let over_epochs = runs.iter().enumerate().map(|(colour, run)| Series {
            label: run.name.clone(),
            colour,
            dashed: false,
            points: points(run, |metrics| mean(metrics, value)),
        });
        let title = format!("{name} over epochs");
        html += &Chart { y: unit.to_owned(), ..by_epoch(&title, over_epochs) }.to_html()?;
        let over_layers = runs.iter().enumerate().map(|(colour, run)| Series {
            label: run.name.clone(),
            colour,
            dashed: false,
            points: (1..).map(f64::from).zip(in_order(run).iter().map(|(_, drift)| value(drift))).collect(),
        });
        let by_layer = Chart {
            title: format!("{name} by layer, last epoch"),
            x: "layer (number in the table)".to_owned(),
            y: unit.to_owned(),
            whole_x: true,
            series: over_layers.collect(),
            ..Chart::default()
        };
        html += &by_layer.to_html()?;
    }
    html += "</div>\n";
    Ok(html + &runs.iter().map(|run| table(run)).collect::<String>())
}

fn mean(metrics: &EpochMetrics, value: fn(&WingDrift) -> f64) -> Option<f64> {
    let count = metrics.wing_drift.len();
    (count > 0).then(|| metrics.wing_drift.values().map(value).sum::<f64>() / count as f64)
}

/// The last epoch's layers by name, numbers within a name in numerical order.
fn in_order(run: &ReportRun) -> Vec<(&String, &WingDrift)> {
    let mut layers: Vec<(&String, &WingDrift)> =
        run.history.last().map(|metrics| metrics.wing_drift.iter().collect()).unwrap_or_default();
    layers.sort_by_key(|(path, _)| natural(path));
    layers
}

fn table(run: &ReportRun) -> String {
    let mut table = Table::new(["layer", "number", QUANTITIES[0].1, QUANTITIES[1].1]);
    table.rows = in_order(run)
        .into_iter()
        .enumerate()
        .map(|(place, (path, drift))| {
            let WingDrift { mean_shift, variance_ratio } = drift;
            vec![
                path.clone(),
                (place + 1).to_string(),
                format!("{mean_shift:.4}"),
                format!("{variance_ratio:.4}"),
            ]
        })
        .collect();
    details(&format!("Layers of {} in the last epoch", run.name), &table.to_html())
}

use crate::chart::{Chart, Scale, Series};
use crate::epochs::{by_epoch, points};
use crate::error::ReportError;
use crate::html::{Table, details, paragraph};
use crate::run::ReportRun;
use twins_train::{EpochMetrics, LayerMetrics};

/// A quantity of every layer: how it is called and where it is.
type Quantity = (&'static str, &'static str, fn(&LayerMetrics) -> Option<f64>);

const QUANTITIES: [Quantity; 3] = [
    ("Effective learning rate", "learning rate / ‖w‖²", |layer| Some(layer.effective_learning_rate)),
    ("Gradient norm", "‖∂L/∂w‖", |layer| Some(layer.gradient_norm)),
    ("Relative update of the epoch's last step", "‖Δw‖ / ‖w‖", |layer| layer.relative_update),
];

/// The quantities over epochs and over the layers, and their ratios between the runs.
pub(crate) fn section_of(runs: &[ReportRun]) -> Result<String, ReportError> {
    let runs: Vec<&ReportRun> =
        runs.iter().filter(|run| run.history.iter().any(|metrics| !metrics.layers.is_empty())).collect();
    if runs.is_empty() {
        return Ok(String::new());
    }
    let mut html = paragraph(
        "Behind a batch normalisation only a weight's direction counts: a step moves the function by the learning rate \
         over the squared norm of the weight (TWINS, section 3.3). The claim is that the frozen wing lets gradients and \
         effective steps grow. Over epochs: geometric means over all layers; over layers: the last epoch, in the \
         order of their names. The last linear layer has no normalisation behind it.",
    );
    html += &ratios(&runs);
    html += "<div class=\"charts\">\n";
    for (name, unit, value) in QUANTITIES {
        html += &over_epochs(&runs, name, unit, value).to_html()?;
        html += &over_layers(&runs, name, unit, value).to_html()?;
    }
    html += "</div>\n";
    html += &runs.iter().map(|run| table(run)).collect::<String>();
    Ok(html)
}

fn over_epochs(
    runs: &[&ReportRun],
    name: &str,
    unit: &str,
    value: fn(&LayerMetrics) -> Option<f64>,
) -> Chart {
    let series = runs.iter().enumerate().map(|(colour, run)| Series {
        label: run.name.clone(),
        colour,
        dashed: false,
        points: points(run, |metrics| geometric_mean(metrics, value)),
    });
    let title = format!("{name} over epochs");
    Chart { y: unit.to_owned(), y_scale: Scale::Logarithmic, ..by_epoch(&title, series) }
}

fn over_layers(
    runs: &[&ReportRun],
    name: &str,
    unit: &str,
    value: fn(&LayerMetrics) -> Option<f64>,
) -> Chart {
    let series = runs.iter().enumerate().map(|(colour, run)| Series {
        label: run.name.clone(),
        colour,
        dashed: false,
        points: in_order(run)
            .into_iter()
            .enumerate()
            .filter_map(|(place, (_, layer))| Some((place as f64 + 1.0, value(layer)?)))
            .collect(),
    });
    Chart {
        title: format!("{name} by layer, last epoch"),
        x: "layer (number in the table)".to_owned(),
        y: unit.to_owned(),
        y_scale: Scale::Logarithmic,
        whole_x: true,
        series: series.collect(),
        ..Chart::default()
    }
}

/// exp(mean(ln v)): of values whose sizes differ between layers. Layers without a positive value are left out.
fn geometric_mean(metrics: &EpochMetrics, value: fn(&LayerMetrics) -> Option<f64>) -> Option<f64> {
    let logarithms: Vec<f64> =
        metrics.layers.values().filter_map(value).filter(|v| *v > 0.0).map(f64::ln).collect();
    let count = logarithms.len();
    (count > 0).then(|| (logarithms.iter().sum::<f64>() / count as f64).exp())
}

/// The last epoch's layers by name, numbers within a name in numerical order.
fn in_order(run: &ReportRun) -> Vec<(&String, &LayerMetrics)> {
    let mut layers: Vec<(&String, &LayerMetrics)> =
        run.history.last().map(|metrics| metrics.layers.iter().collect()).unwrap_or_default();
    layers.sort_by_key(|(path, _)| natural(path));
    layers
}

/// Splits a path so that `layer10` comes after `layer2`.
pub(crate) fn natural(path: &str) -> Vec<(String, u64)> {
    path.split('.')
        .map(|part| {
            let digits = part.trim_start_matches(|character: char| !character.is_ascii_digit());
            (part[..part.len() - digits.len()].to_owned(), digits.parse().unwrap_or(0))
        })
        .collect()
}

/// How the runs compare with the first, where there are several.
fn ratios(runs: &[&ReportRun]) -> String {
    let Some((first, others)) = runs.split_first().filter(|(_, others)| !others.is_empty()) else {
        return String::new();
    };
    let mut table = Table::new([
        "mean over epochs of the ratio",
        "effective learning rate",
        "gradient norm",
        "relative update",
    ]);
    for run in others {
        let cells = QUANTITIES.map(|(_, _, value)| {
            let logarithms: Vec<f64> = run
                .history
                .iter()
                .zip(&first.history)
                .filter_map(|(ours, theirs)| {
                    Some((geometric_mean(ours, value)? / geometric_mean(theirs, value)?).ln())
                })
                .collect();
            match logarithms.is_empty() {
                true => "–".to_owned(),
                false => format!("{:.3}", (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()),
            }
        });
        let name = format!("{} / {}", run.name, first.name);
        table.rows.push(std::iter::once(name).chain(cells).collect());
    }
    table.to_html()
}

fn table(run: &ReportRun) -> String {
    let mut table = Table::new(["layer", "number", "‖w‖", "‖∂L/∂w‖", "learning rate / ‖w‖²", "‖Δw‖ / ‖w‖"]);
    table.rows = in_order(run)
        .into_iter()
        .enumerate()
        .map(|(place, (path, layer))| {
            vec![
                path.clone(),
                (place + 1).to_string(),
                format!("{:.4}", layer.weight_norm),
                format!("{:.3e}", layer.gradient_norm),
                format!("{:.3e}", layer.effective_learning_rate),
                layer.relative_update.map_or("–".to_owned(), |update| format!("{update:.3e}")),
            ]
        })
        .collect();
    details(&format!("Layers of {} in the last epoch", run.name), &table.to_html())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_in_numerical_order() {
        let mut paths = ["layers.10.conv", "conv1", "layers.2.conv", "fc"];
        paths.sort_by_key(|path| natural(path));
        assert_eq!(paths, ["conv1", "fc", "layers.2.conv", "layers.10.conv"]);
    }
}

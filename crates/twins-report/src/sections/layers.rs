use twins_train::{LayerMetrics, geometric_mean};

use crate::html::chart::Chart;
use crate::html::page::{details, paragraph, side_by_side};
use crate::html::table::{Cell, Table};
use crate::html::ticks::Scale;
use crate::record::run_record::RunRecord;
use crate::sections::per_run::{in_order, lines, over_epochs};

/// A quantity of every layer: its name, its unit, and the function that returns its value.
type Quantity = (&'static str, &'static str, fn(&LayerMetrics) -> Option<f64>);

const QUANTITIES: [Quantity; 3] = [
    ("Effective learning rate", "learning rate / ‖w‖²", |layer| Some(layer.effective_learning_rate)),
    ("Gradient norm", "‖∂L/∂w‖", |layer| Some(layer.gradient_norm)),
    ("Relative update", "‖Δw‖ / ‖w‖", |layer| layer.relative_update),
];

/// The quantities over epochs and over the layers, and their ratios between the runs.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    if runs.iter().flat_map(|run| &run.history).all(|metrics| metrics.layers.is_empty()) {
        return String::new();
    }
    let text = "In front of a batch normalisation, only the direction of a weight matters: a step changes the function by the \
                learning rate over the squared norm of the weight (TWINS, section 3.3). The paper's claim is that the \
                frozen wing raises gradients and effective steps. The charts over epochs show geometric means over the \
                layers of the model, without the branch of AutoLoRa; those by layer show the last epoch, in the order of the \
                names. The relative update is that of the last step of an epoch. The last linear layer has no normalisation \
                behind it.";
    let charts: String = QUANTITIES
        .into_iter()
        .map(|(name, unit, value)| {
            let title = format!("{name} over epochs");
            let over_epochs = Chart {
                y_scale: Scale::Logarithmic,
                ..over_epochs(&title, unit, runs, |metrics| metrics.mean_of_layers(value))
            };
            over_epochs.to_html() + &over_layers(runs, name, unit, value).to_html()
        })
        .collect();
    paragraph(text) + &ratios(runs) + &side_by_side(&charts) + &runs.iter().map(table).collect::<String>()
}

fn over_layers(runs: &[RunRecord], name: &str, unit: &str, value: fn(&LayerMetrics) -> Option<f64>) -> Chart {
    let points = |run: &RunRecord| {
        let numbered = (1..).map(f64::from).zip(layers(run));
        numbered.filter_map(|(number, (_, layer))| Some((number, value(layer)?))).collect()
    };
    Chart {
        title: format!("{name} by layer, last epoch"),
        x: "layer (number in the table)".to_owned(),
        y: unit.to_owned(),
        y_scale: Scale::Logarithmic,
        whole_x: true,
        series: lines(runs, points),
        ..Chart::default()
    }
}

/// The layers of the last epoch.
fn layers(run: &RunRecord) -> Vec<(&String, &LayerMetrics)> {
    run.history.last().map(|metrics| in_order(&metrics.layers)).unwrap_or_default()
}

/// The ratios of the runs to the first run, if there are several runs: geometric means over the epochs that both have.
fn ratios(runs: &[RunRecord]) -> String {
    let Some((first, others)) = runs.split_first() else { return String::new() };
    let mut table = Table::of_numbers(
        format!("Ratio to {}, mean over epochs", first.name),
        ["runs", "effective learning rate", "gradient norm", "relative update"],
    );
    for run in others {
        let cells = QUANTITIES.map(|(_, _, value)| {
            let ratios = run.history.iter().zip(&first.history).filter_map(|(this, reference)| {
                Some(this.mean_of_layers(value)? / reference.mean_of_layers(value)?)
            });
            Cell::from(geometric_mean(ratios).map(|ratio| format!("{ratio:.3}")))
        });
        table.push(format!("{} / {}", run.name, first.name), cells);
    }
    table.to_html()
}

fn table(run: &RunRecord) -> String {
    let caption = format!("Layers of {} in the last epoch", run.name);
    let columns = ["layer", "number", "‖w‖", "‖∂L/∂w‖", "learning rate / ‖w‖²", "‖Δw‖ / ‖w‖"];
    let mut table = Table::of_numbers(caption.as_str(), columns);
    for (index, (path, layer)) in layers(run).into_iter().enumerate() {
        let cells: [Cell; 5] = [
            (index + 1).to_string().into(),
            format!("{:.4}", layer.weight_norm).into(),
            format!("{:.3e}", layer.gradient_norm).into(),
            format!("{:.3e}", layer.effective_learning_rate).into(),
            layer.relative_update.map(|update| format!("{update:.3e}")).into(),
        ];
        table.push(path, cells);
    }
    if table.is_empty() { String::new() } else { details(&caption, &table.to_html()) }
}

#[cfg(test)]
mod tests {
    use twins_train::{EpochMetrics, Method, TrainConfig};

    use super::*;
    use crate::example::epoch;
    use crate::record::provenance::Provenance;

    #[test]
    fn ratios_are_to_the_first_run_at_the_same_epoch() {
        let run = |name: &str, rates: &[[f64; 2]]| {
            let layer = |rate: f64| LayerMetrics {
                weight_norm: 1.0,
                gradient_norm: rate * rate,
                effective_learning_rate: rate,
                relative_update: None,
            };
            let epochs = rates.iter().zip(1..).map(|([a, b], number)| {
                let layers = [("a".to_owned(), layer(*a)), ("b".to_owned(), layer(*b))].into();
                EpochMetrics { layers, ..epoch(number, 1, 1) }
            });
            let config = TrainConfig::new(Method::At);
            let record = RunRecord::new(name, &config, Provenance::starting_now(0)).unwrap();
            record.with_history(epochs.collect())
        };
        // Geometric means over the layers: 2 and 3, and 4 and 12. The ratios are 2 and 4, and of the squares 4 and 16; √8 and √64. The first
        // run has no third epoch.
        let runs = [
            run("at", &[[1.0, 4.0], [1.0, 9.0]]),
            run("twins-at", &[[4.0, 4.0], [4.0, 36.0], [100.0, 100.0]]),
        ];
        let html = ratios(&runs);
        let row = "<th scope=\"row\">twins-at / at</th><td>2.828</td><td>8.000</td><td>–</td>";
        assert!(html.contains(row), "{html}");
        assert_eq!(ratios(&runs[..1]), "");
    }

    #[test]
    fn the_means_leave_out_the_branch_of_auto_lora() {
        let layer = |rate: f64| LayerMetrics {
            weight_norm: 1.0,
            gradient_norm: rate,
            effective_learning_rate: rate,
            relative_update: None,
        };
        let rates = [("conv.weight", 2.0), ("objective-parameters.conv.weight.b", 1e6)];
        let layers = rates.map(|(path, rate)| (path.to_owned(), layer(rate))).into();
        let metrics = EpochMetrics { layers, ..epoch(1, 1, 1) };
        let mean = metrics.effective_learning_rate().unwrap();
        // Of a logarithm and an exponential.
        assert!((mean - 2.0).abs() < 1e-12, "{mean}");
    }
}

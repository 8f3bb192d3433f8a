use twins_train::{Accuracy, EpochMetrics};

use crate::html::chart::{Chart, Series};
use crate::html::line_style::LineStyle;
use crate::html::page::{details, side_by_side};
use crate::record::run_record::RunRecord;
use crate::sections::per_run::{epoch_points, over_epochs};
use crate::sections::selection;

/// The best and the last epochs, and charts of all runs together. If there are several runs, the charts of each run are
/// shown on a click.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    let trained: Vec<&RunRecord> = runs.iter().filter(|run| !run.history.is_empty()).collect();
    let selection = selection::section_of(runs);
    if let [run] = trained.as_slice() {
        let rate = learning_rate(runs).to_html();
        return selection + &side_by_side(&(accuracy(run).to_html() + &loss(run).to_html() + &rate));
    }
    let each = trained.iter().map(|run| {
        let charts = side_by_side(&(accuracy(run).to_html() + &loss(run).to_html()));
        details(&format!("Accuracy and loss of {}", run.name), &charts)
    });
    selection + &side_by_side(&together(runs)) + &each.collect::<String>()
}

/// Charts with a line for each run.
fn together(runs: &[RunRecord]) -> String {
    type Field = fn(&EpochMetrics) -> Option<Accuracy>;
    let accuracies: [(&str, Field); 3] = [
        ("Robust accuracy on the validation split", |m| m.validation_robust_accuracy),
        ("Clean accuracy on the validation split", |m| m.validation_clean_accuracy),
        ("Accuracy in training, on adversarial examples", |m| {
            m.has_trained().then_some(m.train_adversarial_accuracy)
        }),
    ];
    let accuracies = accuracies.map(|(title, field)| {
        over_epochs(title, "accuracy (%)", runs, |metrics| field(metrics).map(Accuracy::percent)).to_html()
    });
    let loss = over_epochs("Training loss", "loss (nats)", runs, |m| m.has_trained().then_some(m.loss));
    accuracies.concat() + &loss.to_html() + &learning_rate(runs).to_html()
}

fn learning_rate(runs: &[RunRecord]) -> Chart {
    over_epochs("Learning rate at the end of each epoch", "learning rate", runs, |m| Some(m.learning_rate))
}

fn accuracy(run: &RunRecord) -> Chart {
    type Field = fn(&EpochMetrics) -> Option<Accuracy>;
    // Clean and robust accuracy have a colour each; dashes and markers distinguish lines of the same colour.
    let fields: [(&str, usize, Field); 4] = [
        ("clean, validation", 0, |m| m.validation_clean_accuracy),
        ("clean, training images", 0, |m| m.train_clean_accuracy),
        ("robust, validation", 1, |m| m.validation_robust_accuracy),
        ("robust, in training", 1, |m| m.has_trained().then_some(m.train_adversarial_accuracy)),
    ];
    let series = fields.into_iter().enumerate().map(|(pattern, (label, colour, field))| Series {
        label: label.to_owned(),
        style: LineStyle { colour, pattern },
        points: epoch_points(run, |metrics| field(metrics).map(Accuracy::percent)),
    });
    Chart {
        title: format!("{}: accuracy", run.name),
        x: "epoch".to_owned(),
        y: "accuracy (%)".to_owned(),
        y_range: Some([0.0, 100.0]),
        whole_x: true,
        series: series.filter(|series| !series.points.is_empty()).collect(),
        marks: best_and_last(run),
        ..Chart::default()
    }
}

/// The epochs that are compared to detect robust overfitting.
fn best_and_last(run: &RunRecord) -> Vec<(f64, String)> {
    let Some(best) = run.best.map(|best| best.epoch) else { return Vec::new() };
    let mark = |epoch: usize, label: &str| (epoch as f64, label.to_owned());
    if best == run.finished_epochs {
        vec![mark(best, "best = last")]
    } else {
        vec![mark(best, "best"), mark(run.finished_epochs, "last")]
    }
}

fn loss(run: &RunRecord) -> Chart {
    type Field = fn(&EpochMetrics) -> Option<f64>;
    let two_wings = run.history.iter().any(|metrics| metrics.loss_frozen.is_some());
    let fields: [(&str, Field); 3] = [
        ("total", |m| m.has_trained().then_some(m.loss)),
        ("frozen wing", |m| m.loss_frozen),
        ("adaptive wing", |m| m.has_trained().then_some(m.loss_adaptive)),
    ];
    // With a single wing, the loss of that wing is the total loss.
    let fields = fields.into_iter().take(if two_wings { 3 } else { 1 });
    let series = fields.enumerate().map(|(index, (label, field))| Series {
        label: label.to_owned(),
        style: LineStyle::new(index + 2),
        points: epoch_points(run, field),
    });
    Chart {
        title: format!("{}: training loss", run.name),
        x: "epoch".to_owned(),
        y: "loss (nats)".to_owned(),
        whole_x: true,
        series: series.collect(),
        ..Chart::default()
    }
}

#[cfg(test)]
mod tests {
    use twins_train::{Method, TrainConfig};

    use super::*;
    use crate::example::epoch;
    use crate::record::provenance::Provenance;

    #[test]
    fn epochs_of_skipped_batches_have_no_loss_and_no_accuracy_in_training() {
        let mut skipped = epoch(2, 5, 6);
        (skipped.loss, skipped.train_adversarial_accuracy) = (0.0, Accuracy::default());
        let config = TrainConfig::new(Method::At);
        let run = RunRecord::new("at", &config, Provenance::starting_now(0)).unwrap();
        let runs = [run.with_history(vec![epoch(1, 5, 6), skipped])];
        for html in [section_of(&runs), together(&runs)] {
            assert!(html.contains(": 2 at 1.") && !html.contains(" 0 at 2"), "{html}");
        }
    }
}

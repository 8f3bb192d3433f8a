use twins_train::EpochMetrics;

use crate::html::number::number;
use crate::html::page::details;
use crate::html::table::{Cell, Table};
use crate::record::run_record::RunRecord;
use crate::sections::per_run::percent;

/// The metrics of every epoch, one table for each run.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    let tables = runs.iter().filter(|run| !run.history.is_empty()).map(|run| {
        let mut table = Table::of_numbers(
            format!("Epochs of {}", run.name),
            [
                "epoch",
                "steps",
                "learning rate",
                "loss",
                "frozen wing",
                "adaptive wing",
                "robust, in training",
                "clean, training",
                "clean, validation",
                "robust, validation",
                "gradient norm",
                "images/s",
                "seconds",
                "waiting",
                "skipped batches",
            ],
        );
        for metrics in &run.history {
            table.push(metrics.epoch.to_string(), cells(metrics));
        }
        details(&run.name, &table.to_html())
    });
    tables.collect()
}

fn cells(metrics: &EpochMetrics) -> [Cell; 14] {
    let trained = |text: String| metrics.has_trained().then_some(text);
    [
        metrics.steps.to_string().into(),
        number(metrics.learning_rate).into(),
        trained(format!("{:.4}", metrics.loss)).into(),
        metrics.loss_frozen.map(|loss| format!("{loss:.4}")).into(),
        trained(format!("{:.4}", metrics.loss_adaptive)).into(),
        trained(percent(metrics.train_adversarial_accuracy)).into(),
        metrics.train_clean_accuracy.map(percent).into(),
        metrics.validation_clean_accuracy.map(percent).into(),
        metrics.validation_robust_accuracy.map(percent).into(),
        trained(format!("{:.4}", metrics.gradient_norm)).into(),
        format!("{:.0}", metrics.images_per_second).into(),
        format!("{:.1}", metrics.seconds).into(),
        format!("{:.1} %", 100.0 * metrics.waiting_fraction()).into(),
        metrics.skipped_batches.to_string().into(),
    ]
}

#[cfg(test)]
mod tests {
    use twins_train::Accuracy;

    use super::*;
    use crate::example::epoch;

    #[test]
    fn an_epoch_of_skipped_batches_has_no_loss() {
        let missing =
            |metrics: &EpochMetrics| cells(metrics).iter().filter(|cell| **cell == Cell::missing()).count();
        let mut metrics = epoch(1, 5, 6);
        assert_eq!(missing(&metrics), 1, "the frozen wing");
        metrics.train_adversarial_accuracy = Accuracy::default();
        assert_eq!(missing(&metrics), 5);
    }
}

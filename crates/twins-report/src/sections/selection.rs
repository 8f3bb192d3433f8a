use twins_train::EpochMetrics;

use crate::html::page::paragraph;
use crate::html::table::{Cell, Table};
use crate::record::run_record::RunRecord;
use crate::sections::per_run::percent;

/// The best and the last epoch of every run, and the accuracy lost between them.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    let mut table = Table::of_numbers(
        "Best and last epoch on the validation split",
        [
            "run",
            "best epoch",
            "clean, best",
            "robust, best",
            "last epoch",
            "clean, last",
            "robust, last",
            "robust overfitting",
            "training time",
            "waiting for data",
        ],
    );
    for run in runs {
        let Some(last) = run.history.last() else { continue };
        let best = run.best;
        let lost = best
            .zip(last.validation_robust_accuracy)
            .map(|(best, last)| format!("{:.2} points", best.robust.percent() - last.percent()));
        let total = |field: fn(&EpochMetrics) -> f64| run.history.iter().map(field).sum::<f64>();
        let (seconds, waiting) = (total(|metrics| metrics.seconds), total(|metrics| metrics.seconds_waiting));
        let cells: [Cell; 9] = [
            best.map(|best| best.epoch.to_string()).into(),
            best.map(|best| percent(best.clean)).into(),
            best.map(|best| percent(best.robust)).into(),
            last.epoch.to_string().into(),
            last.validation_clean_accuracy.map(percent).into(),
            last.validation_robust_accuracy.map(percent).into(),
            lost.into(),
            format!("{seconds:.1} s").into(),
            format!("{:.1} %", 100.0 * waiting / seconds.max(1e-9)).into(),
        ];
        table.push(&run.name, cells);
    }
    if table.is_empty() {
        return String::new();
    }
    if runs.iter().all(|run| run.best.is_none()) {
        let text = "No images were held out for validation: the last checkpoint is the result.";
        return paragraph(text) + &table.to_html();
    }
    let mut text = format!(
        "The checkpoint with the best robust accuracy on the validation split is the result of a run. Robust accuracy is \
         measured with {}. Robust overfitting is the robust accuracy lost between the best and the last epoch.",
        protocols(runs)
    );
    if runs.iter().any(|run| run.best.is_none()) {
        text += " A run without a best epoch had no validation: its last checkpoint is the result.";
    }
    paragraph(&text) + &table.to_html()
}

/// The protocols that measure robust accuracy on the validation split. If they differ, each is listed with its runs.
fn protocols(runs: &[RunRecord]) -> String {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for run in runs.iter().filter(|run| run.best.is_some()) {
        match found.iter_mut().find(|(protocol, _)| *protocol == run.validation_protocol) {
            Some((_, names)) => names.push(&run.name),
            None => found.push((&run.validation_protocol, vec![&run.name])),
        }
    }
    if let [(protocol, _)] = found.as_slice() {
        return (*protocol).to_owned();
    }
    let parts = found.iter().map(|(protocol, names)| format!("{protocol} ({})", names.join(", ")));
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use twins_train::{Method, TrainConfig};

    use super::*;
    use crate::example::epoch;
    use crate::record::provenance::Provenance;

    fn run() -> RunRecord {
        let config = TrainConfig::new(Method::At).with_epochs(2);
        let record = RunRecord::new("at", &config, Provenance::starting_now(0)).unwrap();
        record.with_history(vec![epoch(1, 12, 15), epoch(2, 9, 16)])
    }

    #[test]
    fn the_loss_since_the_best_epoch_is_in_points() {
        let html = section_of(&[run()]);
        // 12 of 20, then 9 of 20; each epoch has 2 seconds, 0.5 of them waiting.
        let row = "<td>1</td><td>75.00 %</td><td>60.00 %</td><td>2</td><td>80.00 %</td><td>45.00 %</td>\
                   <td>15.00 points</td><td>4.0 s</td><td>25.0 %</td>";
        assert!(html.contains(row), "{html}");
        assert!(html.contains("measured with PGD-10 Linf 8/255."), "{html}");
    }

    #[test]
    fn protocols_that_differ_are_given_with_their_runs() {
        let mut other = run();
        (other.name, other.validation_protocol) = ("trades".to_owned(), "PGD-10 L2 0.5".to_owned());
        let html = section_of(&[run(), other]);
        assert!(html.contains("measured with PGD-10 Linf 8/255 (at); PGD-10 L2 0.5 (trades)."), "{html}");
    }

    #[test]
    fn a_run_without_a_validation_says_so() {
        let mut run = run();
        for metrics in &mut run.history {
            (metrics.validation_clean_accuracy, metrics.validation_robust_accuracy) = (None, None);
        }
        let run = run.clone().with_history(run.history);
        assert!(section_of(&[run]).contains("No images were held out"));
    }
}

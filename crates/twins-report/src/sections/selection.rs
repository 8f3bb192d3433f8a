use twins_train::{Accuracy, Best, BestSource, EpochMetrics};

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
        let [clean_last, robust_last] = of_last(last, best);
        let lost = best
            .zip(robust_last)
            .map(|(best, last)| format!("{:.2} points", best.robust.percent() - last.percent()));
        let total = |field: fn(&EpochMetrics) -> f64| run.history.iter().map(field).sum::<f64>();
        let (seconds, waiting) = (total(|metrics| metrics.seconds), total(|metrics| metrics.seconds_waiting));
        let cells: [Cell; 9] = [
            best.map_or_else(Cell::missing, best_epoch),
            best.map(|best| percent(best.clean)).into(),
            best.map(|best| percent(best.robust)).into(),
            last.epoch.to_string().into(),
            clean_last.map(percent).into(),
            robust_last.map(percent).into(),
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
    if runs.iter().any(|run| run.best.is_some_and(|best| best.source == BestSource::Ema)) {
        text += " Where averaged weights are the best, the accuracies of the last epoch are those of the averaged weights, too.";
    }
    paragraph(&text) + &table.to_html()
}

fn best_epoch(best: Best) -> Cell {
    let details = match best.source {
        BestSource::Raw => Vec::new(),
        BestSource::Ema => vec!["averaged weights".to_owned()],
    };
    Cell::with_details(best.epoch.to_string(), details)
}

/// Clean and robust accuracy in the last epoch, of the averaged weights if these are the best ones.
fn of_last(last: &EpochMetrics, best: Option<Best>) -> [Option<Accuracy>; 2] {
    let is_averaged = best.is_some_and(|best| best.source == BestSource::Ema);
    match last.ema_accuracy.filter(|_| is_averaged) {
        Some(averaged) => averaged.map(Some),
        None => [last.validation_clean_accuracy, last.validation_robust_accuracy],
    }
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
    fn averaged_weights_are_compared_with_averaged_weights() {
        let averaged = |number, robust, clean, [average_clean, average_robust]: [usize; 2]| {
            let accuracy = |correct| Accuracy { correct, total: 20 };
            let ema_accuracy = Some([accuracy(average_clean), accuracy(average_robust)]);
            EpochMetrics { ema_accuracy, ..epoch(number, robust, clean) }
        };
        let html = |last| {
            let history = vec![averaged(1, 8, 15, [14, 10]), last];
            section_of(&[run().with_history(history)])
        };
        // The averaged weights of the last epoch are the best ones: nothing is lost.
        let best_is_last = html(averaged(2, 9, 16, [15, 12]));
        let row = "<td>2<br/><small>averaged weights</small></td><td>75.00 %</td><td>60.00 %</td>\
                   <td>2</td><td>75.00 %</td><td>60.00 %</td><td>0.00 points</td>";
        assert!(best_is_last.contains(row), "{best_is_last}");
        assert!(best_is_last.contains("those of the averaged weights, too."), "{best_is_last}");
        let overfitted = html(averaged(2, 9, 16, [15, 9]));
        let row = "<td>1<br/><small>averaged weights</small></td><td>70.00 %</td><td>50.00 %</td>\
                   <td>2</td><td>75.00 %</td><td>45.00 %</td><td>5.00 points</td>";
        assert!(overfitted.contains(row), "{overfitted}");
        // The weights themselves are the best ones.
        let raw = html(averaged(2, 11, 16, [15, 9]));
        assert!(raw.contains("<td>2</td><td>80.00 %</td><td>55.00 %</td><td>0.00 points</td>"), "{raw}");
        assert!(!raw.contains("averaged"), "{raw}");
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

use crate::chart::{Chart, Series};
use crate::error::ReportError;
use crate::html::{Table, details, paragraph};
use crate::run::ReportRun;
use twins_train::{Accuracy, EpochMetrics};

/// Best and last epoch of every run.
pub(crate) fn summary(runs: &[ReportRun]) -> Result<String, ReportError> {
    let mut table = Table::new([
        "run",
        "best epoch",
        "clean, best",
        "robust, best",
        "last epoch",
        "clean, last",
        "robust, last",
        "robust lost since the best",
        "seconds",
        "waiting for data",
    ]);
    for run in runs {
        let Some(last) = run.history.last() else { continue };
        let best = run.best.map(|best| (best.epoch, best.clean, best.robust));
        let lost = best
            .zip(last.validation_robust_accuracy)
            .map(|((_, _, robust), last)| robust.percent() - last.percent());
        let [seconds, waiting] = [|m: &EpochMetrics| m.seconds, |m: &EpochMetrics| m.seconds_waiting]
            .map(|field| run.history.iter().map(field).sum::<f64>());
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        table.rows.push(vec![
            run.name.clone(),
            or_none(best.map(|best| best.0.to_string())),
            or_none(best.map(|best| percent(best.1))),
            or_none(best.map(|best| percent(best.2))),
            last.epoch.to_string(),
            or_none(last.validation_clean_accuracy.map(percent)),
            or_none(last.validation_robust_accuracy.map(percent)),
            or_none(lost.map(|lost| format!("{lost:.2} points"))),
            format!("{seconds:.1}"),
            format!("{:.1} %", 100.0 * waiting / seconds.max(1e-9)),
        ]);
    }
    if table.rows.is_empty() {
        return Ok(String::new());
    }
    let text = if runs.iter().any(|run| run.best.is_some()) {
        format!(
            "Accuracies are those of the validation split, on which the best epoch is chosen{}. What is lost between the \
             best and the last epoch is robust overfitting. A run without a best epoch had no validation: its last \
             checkpoint is the result.",
            protocols(runs)?
        )
    } else {
        "No images were held out for a validation: the last checkpoint is the result.".to_owned()
    };
    Ok(paragraph(&text) + &table.to_html())
}

/// How the runs whose configuration is known measure robust accuracy, each way once.
fn protocols(runs: &[ReportRun]) -> Result<String, ReportError> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for run in runs {
        let (Some(config), Some(_)) = (&run.config, run.best) else { continue };
        let protocol = config.validation_protocol()?.to_string();
        match found.iter_mut().find(|(known, _)| *known == protocol) {
            Some((_, names)) => names.push(&run.name),
            None => found.push((protocol, vec![&run.name])),
        }
    }
    Ok(match found.as_slice() {
        [] => String::new(),
        [(protocol, _)] => format!("; robust: {protocol}"),
        several => {
            let parts: Vec<String> = several
                .iter()
                .map(|(protocol, names)| format!("{protocol} ({})", names.join(", ")))
                .collect();
            format!("; robust: {}", parts.join(", "))
        }
    })
}

pub(crate) fn percent(accuracy: Accuracy) -> String {
    format!("{:.2} %", accuracy.percent())
}

/// Accuracy and loss of each run, and the learning rates of all.
pub(crate) fn charts(runs: &[ReportRun]) -> Result<String, ReportError> {
    let runs: Vec<&ReportRun> = runs.iter().filter(|run| !run.history.is_empty()).collect();
    if runs.is_empty() {
        return Ok(String::new());
    }
    let mut html = String::new();
    for run in &runs {
        html += &accuracy(run).to_html()?;
        html += &loss(run).to_html()?;
    }
    let rates = runs.iter().enumerate().map(|(colour, run)| Series {
        label: run.name.clone(),
        colour,
        dashed: false,
        points: points(run, |metrics| Some(metrics.learning_rate)),
    });
    let rates =
        Chart { y: "learning rate".to_owned(), ..by_epoch("Learning rate of each epoch's last step", rates) };
    Ok(format!("<div class=\"charts\">\n{html}{}</div>\n", rates.to_html()?))
}

fn accuracy(run: &ReportRun) -> Chart {
    type Field = fn(&EpochMetrics) -> Option<Accuracy>;
    let fields: [(&str, usize, bool, Field); 4] = [
        ("clean, training images", 0, true, |m| m.train_clean_accuracy),
        ("clean, validation", 0, false, |m| m.validation_clean_accuracy),
        ("robust, training passes", 1, true, |m| Some(m.train_adversarial_accuracy)),
        ("robust, validation", 1, false, |m| m.validation_robust_accuracy),
    ];
    let series = fields.map(|(label, colour, dashed, field)| Series {
        label: label.to_owned(),
        colour,
        dashed,
        points: points(run, |metrics| field(metrics).map(Accuracy::percent)),
    });
    let series = series.into_iter().filter(|series| !series.points.is_empty());
    Chart {
        y: "accuracy (%)".to_owned(),
        y_range: Some((0.0, 100.0)),
        markers: best_and_last(run),
        ..by_epoch(&format!("{}: accuracy", run.name), series)
    }
}

/// The epochs that are compared for robust overfitting.
fn best_and_last(run: &ReportRun) -> Vec<(f64, String)> {
    let last = run.history.last().map(|metrics| metrics.epoch);
    match (run.best.map(|best| best.epoch), last) {
        (Some(best), Some(last)) if best == last => vec![(best as f64, "best = last".to_owned())],
        (best, last) => [(best, "best"), (last, "last")]
            .into_iter()
            .filter_map(|(epoch, label)| Some((epoch? as f64, label.to_owned())))
            .collect(),
    }
}

fn loss(run: &ReportRun) -> Chart {
    type Field = fn(&EpochMetrics) -> Option<f64>;
    let two_wings = run.history.iter().any(|metrics| metrics.loss_frozen.is_some());
    let fields: [(&str, usize, Field); 3] = [
        ("total", 2, |m| Some(m.loss)),
        ("frozen wing", 0, |m| m.loss_frozen),
        ("adaptive wing", 1, |m| Some(m.loss_adaptive)),
    ];
    let fields = fields.into_iter().take(if two_wings { 3 } else { 1 });
    let series = fields.map(|(label, colour, field)| Series {
        label: label.to_owned(),
        colour,
        dashed: false,
        points: points(run, field),
    });
    Chart { y: "training loss (nats)".to_owned(), ..by_epoch(&format!("{}: loss", run.name), series) }
}

/// A chart over epochs.
pub(crate) fn by_epoch(title: &str, series: impl IntoIterator<Item = Series>) -> Chart {
    Chart {
        title: title.to_owned(),
        x: "epoch".to_owned(),
        whole_x: true,
        series: series.into_iter().collect(),
        ..Chart::default()
    }
}

/// A value of every epoch that has it.
pub(crate) fn points(run: &ReportRun, field: impl Fn(&EpochMetrics) -> Option<f64>) -> Vec<(f64, f64)> {
    run.history.iter().filter_map(|metrics| Some((metrics.epoch as f64, field(metrics)?))).collect()
}

/// The figures of every epoch, one table per run.
pub(crate) fn tables(runs: &[ReportRun]) -> String {
    let tables = runs.iter().filter(|run| !run.history.is_empty()).map(|run| {
        let mut table = Table::new([
            "epoch",
            "steps",
            "learning rate",
            "loss",
            "frozen wing",
            "adaptive wing",
            "train robust",
            "train clean",
            "validation clean",
            "validation robust",
            "gradient norm",
            "images/s",
            "seconds",
            "waiting",
            "skipped",
        ]);
        table.rows = run.history.iter().map(row).collect();
        details(&run.name, &table.to_html())
    });
    tables.collect()
}

fn row(metrics: &EpochMetrics) -> Vec<String> {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    vec![
        metrics.epoch.to_string(),
        metrics.steps.to_string(),
        crate::chart::number(metrics.learning_rate),
        format!("{:.4}", metrics.loss),
        or_none(metrics.loss_frozen.map(|loss| format!("{loss:.4}"))),
        format!("{:.4}", metrics.loss_adaptive),
        percent(metrics.train_adversarial_accuracy),
        or_none(metrics.train_clean_accuracy.map(percent)),
        or_none(metrics.validation_clean_accuracy.map(percent)),
        or_none(metrics.validation_robust_accuracy.map(percent)),
        format!("{:.4}", metrics.gradient_norm),
        format!("{:.0}", metrics.images_per_second),
        format!("{:.1}", metrics.seconds),
        format!("{:.1} %", 100.0 * metrics.waiting_share()),
        metrics.skipped_batches.to_string(),
    ]
}

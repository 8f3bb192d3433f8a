//! Damaged files of a run, and names that could break a page: a page that is well-formed, or an error that names the file.

use std::fs;

use serde_json::json;
use twins_attack::Norm;
use twins_report::{
    Gallery, Provenance, Report, RobustnessCurve, RunRecord, RunStatus, Score, ScoreKind, TestedCheckpoint,
};
use twins_testing::{Counting, check_message, each_damaged};
use twins_train::{Accuracy, EpochMetrics, Method, TrainConfig};

use crate::support::{accessible, well_formed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn accuracy(correct: usize) -> Accuracy {
    Accuracy { correct, total: 20 }
}

fn epoch(number: usize) -> EpochMetrics {
    let accuracy = json!({ "correct": 5 + number % 10, "total": 20 });
    let layer = json!({
        "weight_norm": 1.5, "gradient_norm": 0.1, "effective_learning_rate": 0.02, "relative_update": 0.001,
    });
    serde_json::from_value(json!({
        "epoch": number, "steps": 5 * (number % 10), "learning_rate": 0.01, "loss": 2.0, "loss_frozen": 1.0,
        "loss_adaptive": 1.0, "train_adversarial_accuracy": accuracy, "train_clean_accuracy": accuracy,
        "validation_clean_accuracy": accuracy, "validation_robust_accuracy": accuracy, "ema_accuracy": null,
        "gradient_norm": 1.0, "layers": { "conv1.weight": layer, "layer10.0.weight": layer },
        "wing_drift": { "norm": { "mean_shift": 0.1, "variance_ratio": 0.2 } }, "skipped_batches": 0,
        "images_per_second": 100.0, "seconds": 2.0, "seconds_waiting": 0.5,
    }))
    .unwrap()
}

fn gallery() -> Gallery {
    let png = "data:image/png;base64,AAAA";
    serde_json::from_value(json!({
        "attack": "FGSM", "magnification": 4.0,
        "images": [{
            "index": 17, "label": 0, "clean_prediction": 1, "adversarial_prediction": 9,
            "clean": png, "adversarial": png, "difference": png,
        }],
    }))
    .unwrap()
}

/// A record in which everything has this name.
fn record(name: &str) -> RunRecord {
    let config = TrainConfig::new(Method::TwinsAt).with_epochs(2).with_ema_decay(0.5);
    let provenance = Provenance::starting_now(1).with_devices([name]).with_command(name);
    let mut record = RunRecord::new(name, &config, provenance)
        .unwrap()
        .with_fact(name, name)
        .with_classes(&[name.to_owned(), "b".to_owned()])
        .with_history(vec![epoch(1), epoch(2)]);
    record.status = RunStatus::Completed;
    record.checkpoint = Some(TestedCheckpoint::Best);
    record.validation_protocol = name.to_owned();
    record.settings[0].value = name.to_owned();
    record.scores = vec![
        Score::new("clean", ScoreKind::Clean, accuracy(18)).with_seconds(1.0),
        Score::new(name, ScoreKind::Attack, accuracy(7)).with_warnings([name.to_owned()]),
    ];
    record.last_scores = vec![Score::new("clean", ScoreKind::Clean, accuracy(17))];
    let points = vec![(0.0, accuracy(18)), (0.1, accuracy(7))];
    record.curves = vec![RobustnessCurve { label: name.to_owned(), norm: Norm::Linf, steps: 5, points }];
    record.gallery = Some(gallery());
    record
}

fn check_page(html: &str) {
    well_formed::check(html).unwrap();
    accessible::check(html).unwrap();
}

#[test]
fn damaged_records_make_a_page_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = record("at");
    whole.write(folder.path()).unwrap();
    let result = fs::read(folder.path().join("result.json")).unwrap();
    let lines = whole.history.iter().map(|epoch| serde_json::to_string(epoch).unwrap() + "\n");
    let metrics = lines.collect::<String>().into_bytes();
    let files = [("result.json", result), ("metrics.jsonl", metrics)];
    let mut pages = 0;
    each_damaged(&files, 4000, |name, bytes| {
        for (other, content) in &files {
            fs::write(folder.path().join(other), if *other == name { bytes } else { content.as_slice() })
                .unwrap();
        }
        match Report::of_directories(&[folder.path()]) {
            Ok(report) => {
                check_page(&report.to_html());
                pages += 1;
            }
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains(name), "{message}");
                check_message(&message);
            }
        }
    });
    // Names and numbers may have other values: some damage goes unnoticed, so that pages are checked as well.
    assert!(pages > 50, "{pages}");
}

#[test]
fn names_of_any_kind_make_a_page() {
    let long = "a-name-without-spaces".repeat(500);
    for name in [
        "<script>alert(1)</script>",
        "</title></svg>\" onload=\"x' & <!--",
        "two\nlines\r\n\tand more",
        "\u{1b}[2J\u{9b}31m\u{0}\u{7}",
        "\u{202e}gnp.exe\u{fffe}",
        "]]>&#x1b;&amp;",
        "",
        long.as_str(),
    ] {
        let report = Report::new(name).with_run(record(name)).with_run(record(name));
        let html = report.to_html();
        check_page(&html);
        assert!(!html.contains("alert(1)</script>") && !html.contains("onload=\"x"), "{name:?}");
    }
}

#[test]
fn values_at_the_ends_of_their_ranges_make_a_page() {
    for [small, large] in [[-5e-324, 5e-324], [-1e308, 1e308], [0.0, f64::MAX], [f64::MIN, f64::MAX]] {
        let mut history = vec![epoch(1), epoch(usize::MAX)];
        (history[0].loss, history[1].loss) = (small, large);
        (history[0].seconds, history[1].seconds) = (small, large);
        let mut record = record("at").with_history(history);
        record.provenance.started = u64::MAX;
        record.provenance.seconds = large;
        record.curves[0].points[1].0 = large;
        check_page(&Report::default().with_run(record).to_html());
    }
}

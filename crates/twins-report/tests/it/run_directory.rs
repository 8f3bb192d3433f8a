//! Reports that are rebuilt from the directories of runs, interrupted ones included.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use twins_report::{Provenance, Report, RunRecord, RunStatus, Score, ScoreKind, TestedCheckpoint};
use twins_train::{Accuracy, EpochMetrics, ExistingRun, Method, Trained};

use crate::support::{Net, accessible, config, images, trainer, well_formed};

/// Trains in a directory as an experiment does, with a record after every epoch, and stops after an epoch. Resumes the run that
/// the directory holds.
fn run(directory: &Path, method: Method, stop_after: usize) -> Trained<Net> {
    let config = config(method);
    let mut record = match RunRecord::read(directory) {
        Ok(record) => record,
        Err(_) => RunRecord::new(method.name(), &config, Provenance::starting_now(config.seed)).unwrap(),
    };
    record.status = RunStatus::Running;
    record.write(directory).unwrap();
    let record = Rc::new(RefCell::new(record));
    let stop = Arc::new(AtomicBool::new(false));
    let (observed, raised, path) = (record.clone(), stop.clone(), directory.to_owned());
    let trained = trainer(config)
        .with_run_directory(directory, ExistingRun::Resume)
        .with_stop_flag(stop)
        .with_observer(move |metrics: &EpochMetrics| {
            let mut record = observed.borrow_mut();
            record.add_epoch(metrics.clone());
            record.write(&path).unwrap();
            raised.store(metrics.epoch >= stop_after, Ordering::Relaxed);
        })
        .fit(Net::new(), images())
        .unwrap();
    let mut record = record.borrow_mut();
    record.status = trained.ended.into();
    record.best = trained.best_epoch;
    record.write(directory).unwrap();
    trained
}

#[test]
fn an_interrupted_run_has_a_report_and_a_resumed_one_all_its_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("twins-at");
    run(&directory, Method::TwinsAt, 1);
    let html = Report::of_directories(&[&directory]).unwrap().to_html();
    assert!(html.contains("twins-at: interrupted after epoch 1 of 3."), "{html}");
    well_formed::check(&html).unwrap();
    accessible::check(&html).unwrap();

    let trained = run(&directory, Method::TwinsAt, usize::MAX);
    let mut record = RunRecord::read(&directory).unwrap();
    assert_eq!((record.status, record.finished_epochs), (RunStatus::Completed, 3));
    assert_eq!((&record.history, record.best), (&trained.history, trained.best_epoch));

    record.checkpoint = Some(TestedCheckpoint::Best);
    record.scores.push(Score::new("clean", ScoreKind::Clean, Accuracy { correct: 3, total: 4 }));
    record.write(&directory).unwrap();
    // From a folder that holds the run.
    let report = Report::of_directories(&[folder.path()]).unwrap();
    assert_eq!(report.runs(), [record]);
    let html = report.to_html();
    assert!(html.contains("75.00 %") && !html.contains("interrupted"), "{html}");
}

#[test]
fn an_error_names_the_file_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("at");
    run(&directory, Method::At, usize::MAX);
    std::fs::write(directory.join("metrics.jsonl"), "{\"epoch\": 1}\n").unwrap();
    let message = Report::of_directories(&[folder.path()]).unwrap_err().to_string();
    for part in ["at/metrics.jsonl", "line 1", "resume the run"] {
        assert!(message.contains(part), "{message}");
    }
}

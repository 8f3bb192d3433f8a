//! Observers of steps and epochs, and the files that they write.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use twins_train::{
    Completed, Ended, EpochMetrics, ExistingRun, Method, ObserverKind, StepRecord, TrainConfig, TrainError,
    Trained, Trainer, TrainingObserver, ValidationConfig,
};
use twins_train_testing::{Net, Squares, config, state, trainer};

/// Five batches in an epoch of the test data.
const STEPS: usize = 5;

/// Notes every call, and may fail or panic in a step.
#[derive(Clone, Default)]
struct Recorder {
    begun: Arc<Mutex<Vec<Completed>>>,
    steps: Arc<Mutex<Vec<StepRecord>>>,
    epochs: Arc<Mutex<Vec<usize>>>,
    fail_at: Option<usize>,
    panic_at: Option<usize>,
}

impl TrainingObserver for Recorder {
    fn begin(&mut self, completed: Completed) -> Result<(), TrainError> {
        self.begun.lock().unwrap().push(completed);
        Ok(())
    }

    fn step(&mut self, step: &StepRecord) -> Result<(), TrainError> {
        assert_ne!(self.panic_at, Some(step.step), "killed");
        self.steps.lock().unwrap().push(*step);
        match self.fail_at {
            Some(fail_at) if step.step == fail_at => {
                Err(TrainError::Observer { source: "the disk is full".into() })
            }
            _ => Ok(()),
        }
    }

    fn epoch(&mut self, epoch: &EpochMetrics) -> Result<(), TrainError> {
        self.epochs.lock().unwrap().push(epoch.epoch);
        Ok(())
    }
}

fn fit(trainer: Trainer<Net>) -> Trained<Net> {
    trainer.fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap()
}

fn twins() -> TrainConfig {
    config(Method::TwinsAt)
}

#[test]
fn every_step_and_epoch_is_observed_by_all() {
    let observers = [Recorder::default(), Recorder::default()];
    let [first, second] = observers.clone();
    let trained = fit(trainer(twins()).with_observer(first).with_observer(second));
    for observer in observers {
        assert_eq!(*observer.begun.lock().unwrap(), [Completed::default()]);
        assert_eq!(*observer.epochs.lock().unwrap(), [1, 2, 3]);
        let steps = observer.steps.lock().unwrap();
        let positions: Vec<_> = steps.iter().map(|step| (step.step, step.epoch)).collect();
        let expected: Vec<_> = (0..3 * STEPS).map(|step| (step + 1, step / STEPS + 1)).collect();
        assert_eq!(positions, expected);
        // Each epoch's means are those of its steps; f64 rounding, since the sums are the same.
        for (epoch, steps) in trained.history.iter().zip(steps.chunks(STEPS)) {
            let samples: usize = steps.iter().map(|step| step.accuracy.total).sum();
            let loss: f64 = steps.iter().map(|step| step.loss * step.accuracy.total as f64).sum();
            assert!((loss / samples as f64 - epoch.loss).abs() < 1e-12 * epoch.loss.abs());
            assert_eq!(samples, epoch.train_adversarial_accuracy.total);
            assert_eq!(steps[STEPS - 1].learning_rate, epoch.learning_rate);
            assert!(steps.iter().all(|step| step.loss_frozen.is_some() && step.seconds > 0.0));
        }
    }
    assert!(trained.observer_errors.is_empty());
}

#[test]
fn the_duration_of_an_epoch_is_that_of_its_steps_and_measurements() {
    // The first image is read to measure the accuracy of AutoLoRa's branch, before the first step.
    let first = AtomicBool::new(true);
    let slow = Squares::dataset_with(90, 1, move |_| {
        if first.swap(false, Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let config = config(Method::AutoLora).with_epochs(1).with_validation(ValidationConfig::none());
    let recorder = Recorder::default();
    let trained = trainer(config).with_observer(recorder.clone()).fit(Net::new(4, 1), slow).unwrap();
    let epoch = &trained.history[0];
    let steps: f64 = recorder.steps.lock().unwrap().iter().map(|step| step.seconds).sum();
    assert!(epoch.seconds >= steps + 0.05, "{} of {steps} in steps", epoch.seconds);
    // f64 rounding, since the sums are the same.
    assert!((epoch.images_per_second * steps / 90.0 - 1.0).abs() < 1e-12);
    assert!(epoch.seconds_waiting > 0.0 && epoch.seconds_waiting <= steps, "{}", epoch.seconds_waiting);
}

#[test]
fn an_observer_that_fails_is_switched_off_and_the_training_is_not_changed() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let run = |folder: &tempfile::TempDir, fail_at| {
        let observers = [Recorder { fail_at, ..Recorder::default() }, Recorder::default()];
        let [failing, other] = observers.clone();
        let trainer = trainer(twins()).with_observer(failing).with_observer(other);
        (fit(trainer.with_run_directory(folder.path(), ExistingRun::Refuse)), observers)
    };
    let (trained, [failed, other]) = run(&folders[0], Some(7));
    run(&folders[1], None);
    assert_eq!(state(folders[0].path()), state(folders[1].path()));
    let errors: Vec<String> = trained.observer_errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["an observer of the training: the disk is full"]);
    assert_eq!((failed.steps.lock().unwrap().len(), other.steps.lock().unwrap().len()), (7, 3 * STEPS));
    assert_eq!(*failed.epochs.lock().unwrap(), [1]);
}

#[test]
fn a_directory_that_cannot_be_written_ends_the_training_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for kind in ObserverKind::ALL {
        let recorder = Recorder::default();
        let trainer = trainer(twins()).with_observer(kind.observer(&file)).with_observer(recorder.clone());
        let error = trainer.fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap_err();
        assert!(matches!(&error, TrainError::Io { path, .. } if *path == file), "{kind}: {error}");
        assert!(recorder.steps.lock().unwrap().is_empty());
    }
}

fn with_files(folder: &Path) -> Trainer<Net> {
    ObserverKind::ALL.into_iter().fold(trainer(twins()), |trainer, kind| {
        trainer.with_observer(kind.observer(folder.join("log").join(kind.name())))
    })
}

/// The steps and epochs of a run's files, without what depends on the clock.
fn files(folder: &Path) -> [Vec<String>; 4] {
    let log = folder.join("log");
    let lines = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(log.join(name)).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(str::to_owned).collect()
    };
    let steps = lines("jsonl/steps.jsonl").into_iter().map(|line| {
        let record: StepRecord = serde_json::from_str(&line).unwrap();
        format!("{:?}", StepRecord { seconds: 0.0, ..record })
    });
    let epochs = lines("jsonl/epochs.jsonl").into_iter().map(|line| {
        let mut record: EpochMetrics = serde_json::from_str(&line).unwrap();
        // Not known where the run was stopped after the epoch's last step.
        record.layers.values_mut().for_each(|layer| layer.relative_update = None);
        let clockless = EpochMetrics { seconds: 0.0, seconds_waiting: 0.0, images_per_second: 0.0, ..record };
        format!("{clockless:?}")
    });
    let columns = |name: &str, clock: usize| -> Vec<String> {
        let rows = lines(name).into_iter();
        rows.map(|row| {
            let cells: Vec<&str> = row.split(',').collect();
            cells[..cells.len() - clock].join(",")
        })
        .collect()
    };
    [steps.collect(), epochs.collect(), columns("csv/steps.csv", 1), columns("csv/epochs.csv", 3)]
}

#[test]
fn tables_have_a_header_and_a_row_for_each_step_and_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let trained = fit(with_files(folder.path()));
    let [steps, epochs, step_rows, epoch_rows] = files(folder.path());
    assert_eq!((steps.len(), epochs.len()), (3 * STEPS, 3));
    assert_eq!((step_rows.len(), epoch_rows.len()), (3 * STEPS + 1, 4));
    assert_eq!(
        step_rows[0],
        "step,epoch,learning_rate,loss,loss_frozen,loss_adaptive,accuracy,gradient_norm"
    );
    let last = &trained.history[2];
    let cells: Vec<&str> = epoch_rows[3].split(',').collect();
    let column = |name: &str| epoch_rows[0].split(',').position(|column| column == name).unwrap();
    assert_eq!(cells[column("epoch")], "3");
    assert_eq!(cells[column("steps")], (3 * STEPS).to_string());
    assert_eq!(cells[column("loss")].parse::<f64>().unwrap(), last.loss);
    let robust = last.validation_robust_accuracy.unwrap().fraction();
    assert_eq!(cells[column("validation_robust_accuracy")].parse::<f64>().unwrap(), robust);
    assert_eq!(cells[column("ema_clean_accuracy")], "");
}

#[test]
fn an_interrupted_or_killed_training_leaves_the_files_of_an_uninterrupted_one() {
    let straight = tempfile::tempdir().unwrap();
    fit(with_files(straight.path()));
    let expected = files(straight.path());

    // The flag is up from the start, so that every run makes one step.
    let folder = tempfile::tempdir().unwrap();
    let resume = |folder: &Path| with_files(folder).with_run_directory(folder, ExistingRun::Resume);
    let stop = Arc::new(AtomicBool::new(true));
    while fit(resume(folder.path()).with_stop_flag(stop.clone())).ended != Ended::Completed {}
    assert_eq!(files(folder.path()), expected);

    // A kill in the second epoch, whose steps are made again from its beginning, and a line that is not whole.
    let folder = tempfile::tempdir().unwrap();
    let kill = Recorder { panic_at: Some(STEPS + 4), ..Recorder::default() };
    let killed = resume(folder.path()).with_observer(kill).fit(Net::new(4, 1), Squares::dataset(90, 1));
    assert!(killed.unwrap_err().to_string().contains("killed"));
    let steps = folder.path().join("log/jsonl/steps.jsonl");
    let text = std::fs::read_to_string(&steps).unwrap();
    assert_eq!(text.lines().count(), STEPS + 4);
    std::fs::write(&steps, text + "{\"step\":").unwrap();
    let recorder = Recorder::default();
    fit(resume(folder.path()).with_observer(recorder.clone()));
    assert_eq!(*recorder.begun.lock().unwrap(), [Completed { epochs: 1, steps: STEPS }]);
    assert_eq!(files(folder.path()), expected);

    // A new training in the same place starts the files anew.
    fit(with_files(folder.path()));
    assert_eq!(files(folder.path()), expected);

    // Also if the tables there are those of another program.
    for name in ["steps.csv", "epochs.csv"] {
        std::fs::write(folder.path().join("log/csv").join(name), "epoch,val_loss\n0,2.5\n1,2.0\n").unwrap();
    }
    fit(with_files(folder.path()));
    assert_eq!(files(folder.path()), expected);
}

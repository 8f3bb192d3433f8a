//! Runs on several devices, here handles of the same CPU: interrupted, resumed elsewhere, with faults.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use twins_nn::Wing;
use twins_train::{
    Ended, ExistingRun, Loss, Method, NonFinite, Objective, TrainConfig, Trained, TrainingBatch, TwinsAt,
    Weights,
};
use twins_train_testing::{Net, Squares, config, cpus, state, trainer};

/// 90 images less 9 for validation in batches of 17 and 16.
const STEPS: usize = 5;

#[test]
fn a_run_resumes_to_the_same_bits_on_as_many_devices() {
    for synchronised in [false, true] {
        let config =
            config(Method::TwinsAt).with_ema_decay(0.9).with_accumulate(2).with_sync_statistics(synchronised);
        // Batches of 54, in six parts each.
        let config = config.with_batch_size(54);
        let trainer = trainer(config.clone()).with_devices(cpus(3));
        let straight = trainer.fit(Net::new(4, 1), Squares::dataset(180, 1)).unwrap();
        let resumed = in_turns(&config, &[3; 4], 180);
        assert_eq!(Weights::of(&resumed.last), Weights::of(&straight.last));
        assert_eq!(Weights::of(&resumed.best), Weights::of(&straight.best));
    }
}

#[test]
fn a_run_resumes_on_another_number_of_devices() {
    for synchronised in [false, true] {
        let config = config(Method::TwinsAt).with_sync_statistics(synchronised);
        let trained = in_turns(&config.with_batch_size(32), &[1, 2, 1, 4, 2], 180);
        assert_eq!(trained.ended, Ended::Completed);
        assert_eq!(trained.history.len(), 3);
        let steps: Vec<usize> = trained.history.iter().map(|epoch| epoch.steps).collect();
        // 162 images in batches of 27.
        assert_eq!(steps, [6, 12, 18]);
        assert!(trained.best_epoch.unwrap().clean.percent() > 50.0);
    }
}

/// A step on each list of so many devices in turn, the rest on the last.
fn in_turns(config: &TrainConfig, counts: &[usize], images: usize) -> Trained<Net> {
    let folder = tempfile::tempdir().unwrap();
    let (last, before) = counts.split_last().unwrap();
    let go = |devices: usize, stop: bool| {
        trainer(config.clone())
            .with_devices(cpus(devices))
            .with_run_directory(folder.path(), ExistingRun::Resume)
            .with_stop_flag(Arc::new(AtomicBool::new(stop)))
            .fit(Net::new(4, 1), Squares::dataset(images, 1))
            .unwrap()
    };
    for devices in before {
        assert_eq!(go(*devices, true).ended, Ended::Interrupted);
    }
    go(*last, false)
}

/// TWINS-AT with a fault at a known call; calls are counted over all devices.
struct Faulty {
    calls: AtomicUsize,
    at: usize,
    fault: Fault,
}

enum Fault {
    NotANumber,
    Panic,
    /// Raises the stop flag: no fault at all.
    Stop(Arc<AtomicBool>),
}

impl Objective<Net> for Faulty {
    fn wing(&self) -> Wing {
        Wing::Split
    }

    fn loss(&self, model: &Net, batch: &TrainingBatch) -> Loss {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let mut loss = TwinsAt { lambda: 1.0 }.loss(model, batch);
        if call == self.at {
            match &self.fault {
                Fault::NotANumber => loss.total = loss.total.mul_scalar(f32::NAN),
                Fault::Panic => panic!("out of memory"),
                Fault::Stop(stop) => stop.store(true, Ordering::Relaxed),
            }
        }
        loss
    }
}

fn faulty(config: TrainConfig, at: usize, fault: Fault, run: &Path) -> Result<Trained<Net>, String> {
    let stop = if let Fault::Stop(stop) = &fault { stop.clone() } else { Arc::default() };
    trainer(config)
        .with_devices(cpus(2))
        .with_objective(Faulty { calls: AtomicUsize::new(0), at, fault })
        .with_stop_flag(stop)
        .with_run_directory(run, ExistingRun::Refuse)
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .map_err(|error| error.to_string())
}

#[test]
fn a_fault_on_a_device_is_an_error_that_names_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(Method::TwinsAt).with_checkpoint_steps(1);
    // Two calls for each step: the sixth is one of the third step's.
    let error = faulty(config.clone(), 6, Fault::NotANumber, &folder.path().join("nan")).unwrap_err();
    assert!(error.contains("the loss is NaN at step 3 of epoch 1") && error.contains("last.safe"), "{error}");
    let error = faulty(config, 6, Fault::Panic, &folder.path().join("panic")).unwrap_err();
    for part in ["of 2 failed at step 3 of epoch 1: out of memory", "last.safetensors"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_skipped_step_leaves_no_trace_on_any_device() {
    let folder = tempfile::tempdir().unwrap();
    let [skipped, shorter] = ["skipped", "shorter"].map(|name| folder.path().join(name));
    for synchronised in [false, true] {
        let config = config(Method::TwinsAt)
            .with_epochs(1)
            .with_ema_decay(0.9)
            .with_non_finite(NonFinite::SkipBatch)
            .with_sync_statistics(synchronised);
        // The epoch's last call fails, on one of the devices: what is left must be the state before the step.
        let trained = faulty(config.clone(), 2 * STEPS, Fault::NotANumber, &skipped).unwrap();
        assert_eq!((trained.ended, trained.history[0].skipped_batches), (Ended::Completed, 1));
        let stop = Fault::Stop(Arc::new(AtomicBool::new(false)));
        let stopped = faulty(config, 2 * (STEPS - 1), stop, &shorter).unwrap();
        assert_eq!(stopped.ended, Ended::Interrupted);
        let (found, expected) = (state(&skipped), state(&shorter));
        assert!(found == expected, "synchronised: {synchronised}");
        assert_eq!(expected.contains_key("statistics-1/norm.running_mean"), !synchronised);
        for run in [&skipped, &shorter] {
            std::fs::remove_dir_all(run).unwrap();
        }
    }
}

#[test]
fn an_empty_list_is_refused_and_other_settings_of_a_run_too() {
    let fit = |config: TrainConfig, devices, run: &Path| {
        trainer(config)
            .with_devices(cpus(devices))
            .with_run_directory(run, ExistingRun::Resume)
            .with_stop_flag(Arc::new(AtomicBool::new(true)))
            .fit(Net::new(4, 1), Squares::dataset(90, 1))
            .map_err(|error| error.to_string())
    };
    let folder = tempfile::tempdir().unwrap();
    let config = config(Method::At);
    let message = fit(config.clone(), 0, folder.path()).unwrap_err();
    assert!(message.contains("list of devices is empty"), "{message}");
    fit(config.clone(), 2, folder.path()).unwrap();
    fit(config.clone(), 3, folder.path()).unwrap();
    let message = fit(config.clone().with_accumulate(2), 2, folder.path()).unwrap_err();
    assert!(message.contains("accumulate was 1 and is now 2"), "{message}");
    let message = fit(config.with_sync_statistics(true), 2, folder.path()).unwrap_err();
    assert!(message.contains("sync_statistics was false and is now true"), "{message}");
}

//! A training that holds no images out: nothing is validated, and the last checkpoint is the result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use twins_train::{
    Ended, EpochMetrics, ExistingRun, Method, Schedule, TrainConfig, TrainError, Trained, Trainer,
    ValidationConfig, Weights,
};
use twins_train_testing::{Net, Squares, config, trainer};

fn without(method: Method) -> TrainConfig {
    config(method).with_validation(ValidationConfig::none())
}

fn fit(trainer: Trainer<Net>) -> Trained<Net> {
    trainer.fit(Net::new(4, 1), Squares::dataset(96, 1)).unwrap()
}

#[test]
fn the_last_checkpoint_is_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let trained = fit(trainer(without(Method::TwinsAt)).with_run_directory(&run, ExistingRun::Refuse));
    assert_eq!(trained.best_epoch, None);
    assert_eq!(Weights::of(&trained.best), Weights::of(&trained.last));
    assert_ne!(Weights::of(&trained.best), Weights::of(&Net::new(4, 1)));
    for epoch in &trained.history {
        assert_eq!(epoch.validation(), None);
        assert_eq!((epoch.train_clean_accuracy, epoch.ema_accuracy), (None, None));
        // Every image is trained on.
        assert_eq!(epoch.train_adversarial_accuracy.total, 96);
    }
    assert!(!run.join("best.safetensors").exists());
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert!(!metrics.contains("validation") && metrics.lines().count() == 3, "{metrics}");
}

#[test]
fn averaged_weights_are_the_result_where_there_are_any() {
    let trained = fit(trainer(without(Method::At).with_ema_decay(0.9)));
    assert_ne!(Weights::of(&trained.best), Weights::of(&trained.last));
    let plain = fit(trainer(without(Method::At)));
    assert_eq!(Weights::of(&trained.last), Weights::of(&plain.last));
}

#[test]
fn an_interrupted_run_resumes_to_the_same_bits() {
    let config = without(Method::TwinsAt).with_ema_decay(0.9);
    let straight = fit(trainer(config.clone()));
    let folder = tempfile::tempdir().unwrap();
    let go = |stop_after: usize| {
        let stop = Arc::new(AtomicBool::new(false));
        let raised = stop.clone();
        fit(trainer(config.clone())
            .with_run_directory(folder.path(), ExistingRun::Resume)
            .with_stop_flag(stop)
            .with_observer(move |metrics: &EpochMetrics| {
                raised.store(metrics.epoch >= stop_after, Ordering::Relaxed)
            }))
    };
    assert_eq!(go(1).ended, Ended::Interrupted);
    let resumed = go(usize::MAX);
    assert_eq!(resumed.history.len(), 3);
    assert_eq!(Weights::of(&resumed.last), Weights::of(&straight.last));
    assert_eq!(Weights::of(&resumed.best), Weights::of(&straight.best));
}

#[test]
fn a_data_set_for_validation_is_used_all_the_same() {
    let trained = fit(trainer(without(Method::At)).with_validation_set(Squares::dataset(20, 2)));
    assert_eq!(trained.best_epoch.unwrap().clean.total, 20);
    assert_eq!(trained.history[0].train_adversarial_accuracy.total, 96);
    let empty = trainer(without(Method::At)).with_validation_set(Squares::dataset(0, 2));
    let error = empty.fit(Net::new(4, 1), Squares::dataset(96, 1)).err().unwrap();
    assert!(matches!(error, TrainError::EmptyValidationSet), "{error}");
}

#[test]
fn what_follows_the_validation_is_refused() {
    for config in
        [without(Method::At).with_early_stopping(2), without(Method::At).with_schedule(Schedule::auto_lora())]
    {
        let error = Trainer::<Net>::new(config).err().unwrap();
        assert!(matches!(error, TrainError::NeedsValidation { .. }), "{error}");
        assert!(error.to_string().contains("validation.fraction"), "{error}");
    }
}

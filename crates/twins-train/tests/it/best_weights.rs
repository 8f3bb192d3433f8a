//! The best weights and the state that names their epoch belong together, whenever the process ends.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use safetensors::SafeTensors;
use twins_train::{Best, BestSource, EpochMetrics, ExistingRun, Method, Trained, Weights};
use twins_train_testing::{Net, Squares, config, cpus, trainer};

fn run(folder: &Path, devices: usize, stop: bool) -> Trained<Net> {
    trainer(config(Method::TwinsAt))
        .with_devices(cpus(devices))
        .with_run_directory(folder, ExistingRun::Resume)
        .with_stop_flag(Arc::new(AtomicBool::new(stop)))
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .unwrap()
}

/// The epoch that the file of the best weights names.
fn named(folder: &Path) -> Best {
    let bytes = fs::read(folder.join("best.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()["best"]).unwrap()
}

#[test]
fn a_kill_before_the_state_of_a_better_epoch_keeps_the_best_weights_of_the_state_before() {
    let folder = tempfile::tempdir().unwrap();
    let fit = |epochs| {
        trainer(config(Method::TwinsAt).with_epochs(epochs))
            .fit(Net::new(4, 1), Squares::dataset(90, 1))
            .unwrap()
    };
    let best = fit(3).best_epoch.unwrap().epoch;
    assert!(best > 1, "the first epoch is the best: there is nothing to overwrite");
    let before = fit(best - 1);

    // The epoch has been judged, and its state is not yet written.
    let killed = trainer(config(Method::TwinsAt))
        .with_run_directory(folder.path(), ExistingRun::Refuse)
        .with_observer(move |metrics: &EpochMetrics| assert!(metrics.epoch < best, "killed"))
        .fit(Net::new(4, 1), Squares::dataset(90, 1));
    let message = killed.unwrap_err().to_string();
    assert!(message.contains(&format!("failed at the end of epoch {best}: killed")), "{message}");

    // On other devices, whose arithmetic differs, the epoch need not become the best again.
    let resumed = run(folder.path(), 2, true);
    assert_eq!(resumed.best_epoch, before.best_epoch);
    assert_eq!(Weights::of(&resumed.best), Weights::of(&before.best));
    assert_eq!(Some(named(folder.path())), before.best_epoch);
    let finished = run(folder.path(), 2, false);
    assert_eq!(Some(named(folder.path())), finished.best_epoch);
}

#[test]
fn a_kill_after_the_state_leaves_no_older_best_weights() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("best.safetensors");
    let straight = run(folder.path(), 1, false);
    let expected = fs::read(&file).unwrap();
    for found in [None, Some(&expected[..100])] {
        match found {
            None => fs::remove_file(&file).unwrap(),
            Some(bytes) => fs::write(&file, bytes).unwrap(),
        }
        let resumed = run(folder.path(), 1, false);
        assert_eq!(Weights::of(&resumed.best), Weights::of(&straight.best));
        assert_eq!(resumed.best_epoch, straight.best_epoch);
        assert!(resumed.damaged_checkpoint.is_none());
        assert_eq!(fs::read(&file).unwrap(), expected);
    }
}

#[test]
fn averages_that_are_no_better_do_not_prevent_the_file_of_the_raw_weights() {
    let folder = tempfile::tempdir().unwrap();
    // No weight moves, so the averages are equal to the weights.
    let still = config(Method::At)
        .with_epochs(1)
        .with_learning_rate(1e-60)
        .with_freeze(vec!["norm".to_owned()])
        .with_ema_decay(0.5);
    let trained = trainer(still)
        .with_run_directory(folder.path(), ExistingRun::Refuse)
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .unwrap();
    let best = named(folder.path());
    assert_eq!((best.source, Some(best)), (BestSource::Raw, trained.best_epoch));
}

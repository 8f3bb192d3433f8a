//! What a training does in an epoch besides its steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use twins_train::{EpochMetrics, ExistingRun, Method, Trained, Weights};
use twins_train_testing::{Net, Squares, config, trainer};

#[test]
fn the_next_epoch_is_prepared_before_it_begins_and_nothing_after_the_last() {
    let reads = Arc::new(AtomicUsize::new(0));
    let (counted, seen) = (reads.clone(), reads.clone());
    let train = Squares::dataset_with(90, 1, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    // An epoch reads 90 images for its steps, and then 20 of them to measure the clean accuracy.
    let wait_for_more = move |metrics: &EpochMetrics| {
        let begin = Instant::now();
        while metrics.epoch == 1 && seen.load(Ordering::Relaxed) <= 110 {
            assert!(begin.elapsed() < Duration::from_secs(30), "no image of the second epoch is read");
            thread::sleep(Duration::from_millis(1));
        }
    };
    trainer(config(Method::At).with_epochs(2))
        .with_validation_set(Squares::dataset(20, 2))
        .with_observer(wait_for_more)
        .fit(Net::new(4, 1), train)
        .unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 220);
}

#[test]
fn the_relative_update_is_that_of_the_last_step() {
    let folder = tempfile::tempdir().unwrap();
    let go = |stop| {
        trainer(config(Method::At).with_epochs(1))
            .with_run_directory(folder.path(), ExistingRun::Resume)
            .with_stop_flag(Arc::new(AtomicBool::new(stop)))
            .fit(Net::new(4, 1), Squares::dataset(90, 1))
            .unwrap()
    };
    let weight = |trained: &Trained<Net>| -> Vec<f64> {
        Weights::of(&trained.last).tensors()["conv.weight"].iter::<f64>().collect()
    };
    // If the flag is set from the beginning, a run makes one step. The epoch has five.
    let [.., before] = [(); 4].map(|()| weight(&go(true)));
    let trained = go(false);
    let update: Vec<f64> =
        weight(&trained).iter().zip(&before).map(|(after, before)| after - before).collect();
    let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let expected = norm(&update) / norm(&before);
    let found = trained.history[0].layers["conv.weight"].relative_update.unwrap();
    // The norms are sums of 54 squares in single precision.
    assert!(expected > 0.0 && (found / expected - 1.0).abs() < 1e-5, "{found}, {expected}");
}

#[test]
fn a_checkpoint_that_is_due_at_the_end_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    trainer(config(Method::At).with_epochs(1).with_checkpoint_steps(5))
        .with_run_directory(folder.path(), ExistingRun::Refuse)
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .unwrap();
    let exists = |name: &str| folder.path().join(name).exists();
    assert!(exists("last.safetensors") && !exists("previous.safetensors"));
}

//! Robust linear initialisation: a probe of the head, then a full phase that begins like a training of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use twins_train::{
    AwpConfig, Ended, EpochMetrics, ExistingRun, Method, ProbeConfig, Schedule, TrainConfig, TrainError,
    Trained, Tuning, Weights,
};
use twins_train_testing::{Net, Squares, config, state, trainer};

/// Three epochs of probe and two of the full phase.
fn two_phases(method: Method) -> TrainConfig {
    let probe = ProbeConfig::new(3)
        .with_learning_rate(0.1)
        .with_schedule(Schedule::MultiStep { milestones: vec![2], gamma: 0.5 });
    config(method).with_epochs(5).with_tuning(Tuning::ProbeThenFull(probe))
}

fn fit(config: TrainConfig) -> Trained<Net> {
    trainer(config).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap()
}

fn resume(config: TrainConfig, run: &Path) -> Result<Trained<Net>, TrainError> {
    trainer(config).with_run_directory(run, ExistingRun::Resume).fit(Net::new(4, 1), Squares::dataset(90, 1))
}

/// Runs so many epochs and one step of the next.
fn one_step_after(epochs: usize, config: TrainConfig, run: &Path) -> Trained<Net> {
    let stop = Arc::new(AtomicBool::new(false));
    let raise = stop.clone();
    let trained = trainer(config)
        .with_run_directory(run, ExistingRun::Resume)
        .with_stop_flag(stop)
        .with_observer(move |metrics: &EpochMetrics| raise.store(metrics.epoch == epochs, Ordering::Relaxed))
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .unwrap();
    assert_eq!(trained.ended, Ended::Interrupted);
    trained
}

#[test]
fn the_probe_is_adversarial_training_of_the_head_at_its_own_rate() {
    let probe = config(Method::At)
        .with_tuning(Tuning::LinearProbe)
        .with_learning_rate(0.1)
        .with_schedule(Schedule::MultiStep { milestones: vec![2], gamma: 0.5 });
    let expected = Weights::of(&fit(probe).last);
    // Lambda, the divergence, the warm-ups and the perturbation are the full phase's.
    for method in [Method::TwinsAt, Method::TwinsTrades, Method::Standard, Method::AutoLora] {
        let config = two_phases(method)
            .with_epochs(3)
            .with_lambda(3.0)
            .with_warmup_epochs(2.0)
            .with_awp(AwpConfig::new(0.1));
        assert_eq!(Weights::of(&fit(config).last), expected, "{method}");
    }
}

#[test]
fn the_rate_of_the_full_phase_counts_from_its_beginning() {
    let schedule = Schedule::MultiStep { milestones: vec![1], gamma: 0.5 };
    let rates = |config: TrainConfig| -> Vec<f64> {
        fit(config).history.iter().map(|metrics| metrics.learning_rate).collect()
    };
    let config = two_phases(Method::TwinsAt).with_schedule(schedule).with_learning_rate(0.05);
    assert_eq!(rates(config.clone()), [0.1, 0.1, 0.05, 0.05, 0.025]);
    // After one of two epochs of warm-up.
    assert_eq!(rates(config.with_warmup_epochs(2.0)), [0.1, 0.1, 0.05, 0.025, 0.025]);
}

#[test]
fn the_warm_up_of_a_perturbation_counts_from_the_full_phase() {
    let config =
        config(Method::TwinsAt).with_epochs(2).with_tuning(Tuning::ProbeThenFull(ProbeConfig::new(1)));
    let perturbed = |warm_up| {
        let awp = AwpConfig::new(0.05).with_warmup_epochs(warm_up);
        Weights::of(&fit(config.clone().with_awp(awp)).last)
    };
    let plain = Weights::of(&fit(config.clone()).last);
    assert_eq!(perturbed(1), plain);
    assert_ne!(perturbed(0), plain);
}

#[test]
fn the_full_phase_begins_without_momentum() {
    // A rate at which the head does not move in single precision: the phases before differ in momentum alone.
    let still = Tuning::ProbeThenFull(ProbeConfig::new(2).with_learning_rate(1e-30));
    let stepped = |momentum: f64| {
        let folder = tempfile::tempdir().unwrap();
        let config = config(Method::TwinsAt).with_tuning(still.clone()).with_momentum(momentum);
        Weights::of(&one_step_after(2, config, folder.path()).last)
    };
    assert_eq!(stepped(0.9), stepped(0.0));
}

#[test]
fn the_averages_begin_anew_after_the_probe() {
    let folder = tempfile::tempdir().unwrap();
    let config = two_phases(Method::TwinsAt).with_ema_decay(0.75);
    let probed = Weights::of(&fit(config.clone().with_epochs(3)).last);
    one_step_after(3, config, folder.path());
    let state = state(folder.path());
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    let (average, new) = (floats(&state["ema/head.weight"]), floats(&state["model/head.weight"]));
    let old = floats(probed.tensors()["head.weight"].as_bytes());
    assert_ne!(old, new);
    for ((average, old), new) in average.into_iter().zip(old).zip(new) {
        // Values below 1, with the rounding of a few operations in single precision.
        assert!((average - (0.75 * old + 0.25 * new)).abs() < 1e-6, "{average}: {old}, {new}");
    }
}

#[test]
fn early_stopping_waits_for_the_full_phase() {
    // The accuracy cannot rise: no weight moves.
    let probe = ProbeConfig::new(4).with_learning_rate(1e-30);
    let config = config(Method::At)
        .with_epochs(9)
        .with_learning_rate(1e-30)
        .with_early_stopping(2)
        .with_tuning(Tuning::ProbeThenFull(probe))
        .with_freeze(vec!["norm".to_owned()]);
    let trained = fit(config);
    assert_eq!((trained.ended, trained.history.len()), (Ended::StoppedEarly, 6));
}

#[test]
fn a_run_resumes_to_the_same_bits_in_both_phases_and_between_them() {
    for method in [Method::TwinsAt, Method::AutoLora] {
        let config = two_phases(method)
            .with_ema_decay(0.9)
            .with_early_stopping(4)
            .with_schedule(Schedule::RobustAccuracy { factor: 0.5, patience: 1 });
        let folder = tempfile::tempdir().unwrap();
        let (straight, parts) = (folder.path().join("straight"), folder.path().join("parts"));
        let expected = resume(config.clone(), &straight).unwrap();

        // In the probe, at its end, then after the first step of the full phase and in its second epoch.
        one_step_after(1, config.clone().with_epochs(3), &parts);
        assert_eq!(resume(config.clone().with_epochs(3), &parts).unwrap().ended, Ended::Completed);
        let stop = Arc::new(AtomicBool::new(true));
        let stopped = trainer(config.clone())
            .with_run_directory(&parts, ExistingRun::Resume)
            .with_stop_flag(stop)
            .fit(Net::new(4, 1), Squares::dataset(90, 1))
            .unwrap();
        assert_eq!((stopped.ended, stopped.history.len()), (Ended::Interrupted, 3));
        one_step_after(4, config.clone(), &parts);
        let found = resume(config, &parts).unwrap();

        assert_eq!(found.history.len(), 5);
        assert_eq!(found.best_epoch, expected.best_epoch);
        assert_eq!(Weights::of(&found.last), Weights::of(&expected.last), "{method}");
        assert_eq!(Weights::of(&found.best), Weights::of(&expected.best), "{method}");
        assert!(state(&parts) == state(&straight), "{method}");
    }
}

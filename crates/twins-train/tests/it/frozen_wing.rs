//! What the frozen wing starts from.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::module::{Module, RunningState};
use burn::tensor::{Device, Tensor};
use twins_nn::{TwinsBatchNorm, TwinsModule};
use twins_train::{Ended, ExistingRun, FrozenFrom, Method, ProbeConfig, TrainConfig, Trained, Tuning};
use twins_train_testing::{Net, Squares, config, cpus, trainer};

/// Mean, variance, gamma and beta of both wings.
fn wings(norm: &TwinsBatchNorm) -> [[Vec<f32>; 4]; 2] {
    let norm = norm.valid();
    let values = |tensor: Tensor<1>| tensor.into_data().try_to_vec::<f32>().unwrap();
    let [gamma, beta] = [&norm.frozen_gamma, &norm.frozen_beta].map(|param| param.as_ref().unwrap().val());
    [
        [norm.frozen_mean.val(), norm.frozen_var.val(), gamma, beta].map(values),
        [norm.running_mean.value(), norm.running_var.value(), norm.gamma.val(), norm.beta.val()].map(values),
    ]
}

/// A model whose adaptive wing has moved away from its frozen one: adversarial training with one wing.
fn trained_with_one_wing() -> Net {
    trainer(config(Method::At).with_epochs(1)).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap().last
}

fn fit(config: TrainConfig, model: &Net) -> Trained<Net> {
    trainer(config).fit(model.clone(), Squares::dataset(90, 2)).unwrap()
}

/// A training that changes no weight: its learning rate is 0 in float32.
fn still(method: Method) -> TrainConfig {
    config(method).with_epochs(1).with_learning_rate(1e-60)
}

#[test]
fn a_training_starts_with_the_frozen_wing_of_the_model_it_starts_from() {
    let start = trained_with_one_wing();
    let [frozen, adaptive] = wings(&start.norm);
    for (old, new) in frozen.iter().zip(&adaptive) {
        assert_ne!(old, new, "the first training moved the adaptive wing");
    }
    for method in [Method::TwinsAt, Method::TwinsTrades, Method::At, Method::AutoLora] {
        assert_eq!(wings(&fit(still(method), &start).last.norm)[0], adaptive, "{method}");
        let kept = still(method).with_frozen_from(FrozenFrom::File);
        assert_eq!(wings(&fit(kept, &start).last.norm)[0], frozen, "{method}");
    }
    assert_eq!(wings(&start.norm), [frozen, adaptive], "the model given is left alone");
}

#[test]
fn each_of_several_trainings_starts_anew() {
    let first = fit(config(Method::TwinsAt).with_epochs(1), &trained_with_one_wing());
    let second = fit(config(Method::TwinsAt).with_epochs(1), &first.best);
    let ([frozen, _], [_, adaptive]) = (wings(&second.last.norm), wings(&first.best.norm));
    // Gamma and beta of the frozen wing have been trained.
    assert_eq!(frozen[..2], adaptive[..2]);
}

#[test]
fn replicas_have_the_frozen_wing_too() {
    let start = trained_with_one_wing();
    let run = |start: Net, frozen_from| {
        let config = config(Method::TwinsAt).with_epochs(1).with_frozen_from(frozen_from);
        trainer(config).with_devices(cpus(2)).fit(start, Squares::dataset(90, 2)).unwrap()
    };
    let copied = run(start.clone(), FrozenFrom::Weights);
    assert_eq!(wings(&copied.last.norm)[0][..2], wings(&start.norm)[1][..2]);
    // The losses of the frozen halves are those of the copy.
    let by_hand = run(start.valid().train().copy_adaptive_to_frozen(), FrozenFrom::File);
    assert_eq!(wings(&copied.last.norm), wings(&by_hand.last.norm));
    assert_ne!(wings(&copied.last.norm), wings(&run(start, FrozenFrom::File).last.norm));
}

#[test]
fn a_probe_leaves_both_wings_equal_until_everything_is_trained() {
    let start = trained_with_one_wing();
    let adaptive = wings(&start.norm)[1].clone();
    let probe = config(Method::TwinsAt).with_epochs(1).with_tuning(Tuning::LinearProbe);
    let probed = fit(probe, &start);
    assert_eq!(wings(&probed.last.norm), [adaptive.clone(), adaptive.clone()]);
    let tuning = Tuning::ProbeThenFull(ProbeConfig::new(1));
    let full = fit(config(Method::TwinsAt).with_epochs(2).with_tuning(tuning), &start);
    assert_eq!(wings(&full.last.norm)[0][..2], adaptive[..2]);
}

#[test]
fn a_resumed_run_keeps_its_frozen_wing() {
    let folder = tempfile::tempdir().unwrap();
    let start = trained_with_one_wing();
    let run = |model: Net, stop: bool| {
        trainer(config(Method::TwinsAt))
            .with_run_directory(folder.path(), ExistingRun::Resume)
            .with_stop_flag(Arc::new(AtomicBool::new(stop)))
            .fit(model, Squares::dataset(90, 2))
            .unwrap()
    };
    assert_eq!(run(start.clone(), true).ended, Ended::Interrupted);
    // The model given on resumption has another adaptive wing: what an interrupted program would hold is not needed.
    let mut other = Net::new(4, 9);
    other.norm.running_mean = RunningState::new(Tensor::from_floats([7.0; 6], &Device::flex()));
    let resumed = run(other, false);
    assert_eq!(wings(&resumed.last.norm)[0][..2], wings(&start.norm)[1][..2]);
}

//! Whole trainings of a small net.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor};
use safetensors::SafeTensors;
use twins_attack::{Loss, Norm, Precision, ThreatModel};
use twins_train::{
    AdversaryConfig, AutoLora, AutoLoraConfig, AwpConfig, Decay, Ended, EpsilonSchedule, EvaluationProtocol,
    ExistingRun, GroupsConfig, ImageClassifier, Method, OptimiserConfig, ProbeConfig, ProgressDisplay,
    Schedule, TrainConfig, TrainError, Trainer, Tuning, ValidationConfig, Weights, evaluate,
};
use twins_train_testing::{Net, Squares, config, trainer};

#[test]
fn every_method_learns() {
    for method in Method::ALL {
        let trained =
            trainer(config(method).with_epochs(6)).fit(Net::new(4, 1), Squares::dataset(200, 1)).unwrap();
        let (first, last) = (&trained.history[0], trained.history.last().unwrap());
        assert!(last.loss < first.loss, "{method}: {} then {}", first.loss, last.loss);
        // Chance is 25 %; the squares are easy, the validation split has 20 images.
        let clean = trained.best_epoch.unwrap().clean;
        assert!(clean.percent() >= 75.0 && clean.total == 20, "{method}: {clean}");
        assert_eq!(last.loss_frozen.is_some(), method.is_two_wing());
        let measured: Vec<&str> = last.objective_accuracies.keys().map(String::as_str).collect();
        let expected: &[&str] = if method == Method::AutoLora { &[AutoLora::NATURAL_BRANCH] } else { &[] };
        assert_eq!(measured, expected);
        assert_eq!(trained.ended, Ended::Completed);
    }
}

#[test]
fn a_kl_adversary_is_validated_on_the_cross_entropy_in_its_own_ball() {
    let adversary = AdversaryConfig::new(Norm::L2, 0.9, 2, 0.6).with_loss(Loss::Kl);
    let validation = Squares::dataset(60, 3);
    let trained = trainer(config(Method::Trades).with_adversary(adversary))
        .with_validation_set(validation.clone())
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .unwrap();
    let last = trained.history.last().unwrap();
    let [clean, robust] = last.validation().unwrap();
    assert!(robust.correct < clean.correct, "clean {clean}, robust {robust}");
    let protocol = EvaluationProtocol::new(ThreatModel::new(Norm::L2, 0.9).unwrap(), 10);
    let measured = evaluate(&trained.last, &validation, Some(&protocol), 7).unwrap();
    assert_eq!((measured.clean, measured.robust), (clean, Some(robust)));
}

#[test]
fn seeds_repeat_and_the_given_model_is_left_alone() {
    let model = Net::new(4, 1);
    let before = Weights::of(&model);
    let run = |seed| {
        let trained = trainer(config(Method::TwinsAt).with_seed(seed))
            .fit(model.clone(), Squares::dataset(90, 1))
            .unwrap();
        Weights::of(&trained.last)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert_eq!(Weights::of(&model), before);
}

#[test]
fn ordinary_training_leaves_the_frozen_wing_alone() {
    let model = Net::new(4, 1);
    let before = Weights::of(&model);
    let trained = trainer(config(Method::At)).fit(model, Squares::dataset(90, 1)).unwrap();
    let after = Weights::of(&trained.last);
    for path in ["norm.frozen_gamma", "norm.frozen_beta", "norm.frozen_mean", "norm.frozen_var"] {
        assert_eq!(after.tensors()[path], before.tensors()[path], "{path}");
    }
    assert_ne!(after.tensors()["norm.gamma"], before.tensors()["norm.gamma"]);
}

#[test]
fn two_wings_train_both_but_never_the_frozen_statistics() {
    let model = Net::new(4, 1);
    let before = Weights::of(&model);
    let trained = trainer(config(Method::TwinsAt)).fit(model, Squares::dataset(90, 1)).unwrap();
    let after = Weights::of(&trained.last);
    for (path, kept) in [
        ("norm.frozen_mean", true),
        ("norm.frozen_var", true),
        ("norm.frozen_gamma", false),
        ("norm.gamma", false),
        ("norm.running_mean", false),
    ] {
        assert_eq!(after.tensors()[path] == before.tensors()[path], kept, "{path}");
    }
}

#[test]
fn schedule_reaches_the_metrics() {
    let config = config(Method::At).with_warmup_epochs(1.0);
    let trained = trainer(config).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap();
    let rates: Vec<f64> = trained.history.iter().map(|metrics| metrics.learning_rate).collect();
    // Products of the same f64 factors.
    for (rate, expected) in rates.iter().zip([0.05, 0.05, 0.005]) {
        assert!((rate - expected).abs() < 1e-12, "{rates:?}");
    }
}

#[test]
fn averaged_weights_and_early_stopping() {
    // A rate of almost zero never improves on the first epoch.
    let config = config(Method::At)
        .with_epochs(20)
        .with_learning_rate(1e-12)
        .with_schedule(Schedule::RobustAccuracy { factor: 0.5, patience: 1 })
        .with_ema_decay(0.5)
        .with_early_stopping(3);
    let trained = trainer(config).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap();
    assert_eq!(trained.ended, Ended::StoppedEarly);
    assert!(trained.history.len() < 20);
    assert!(trained.history[0].ema_accuracy.is_some());
    assert!(trained.history.last().unwrap().learning_rate < 0.6e-12);
}

#[test]
fn an_interrupted_run_resumes_to_the_same_bits() {
    resumes_to_the_same_bits(config(Method::TwinsAt));
}

#[test]
fn so_does_one_with_a_branch_and_weight_perturbation() {
    resumes_to_the_same_bits(config(Method::AutoLora).with_awp(AwpConfig::new(0.01).with_warmup_epochs(1)));
}

#[test]
fn so_does_one_against_an_adversary_in_half_precision() {
    resumes_to_the_same_bits(config(Method::TwinsAt).with_attack_precision(Precision::Bf16));
}

#[test]
fn so_does_one_with_adamw_mixup_and_a_rising_epsilon() {
    let groups = GroupsConfig { decay: Decay::Weights, ..GroupsConfig::default() };
    let config = config(Method::TwinsTrades)
        .with_optimiser(OptimiserConfig::adamw())
        .with_learning_rate(0.001)
        .with_groups(groups)
        .with_mixup(0.5)
        .with_label_smoothing(0.1)
        .with_epsilon_schedule(EpsilonSchedule::new(2.0).with_clean_epochs(0.5));
    resumes_to_the_same_bits(config);
}

#[test]
fn each_setting_of_the_loss_and_the_optimiser_has_an_effect() {
    let loss = |change: fn(TrainConfig) -> TrainConfig| {
        let config = change(config(Method::At).with_epochs(1));
        trainer(config).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap().history[0].loss
    };
    let plain = loss(|config| config);
    for (name, change) in [
        (
            "nesterov",
            (|config| config.with_optimiser(OptimiserConfig::Nesterov)) as fn(TrainConfig) -> TrainConfig,
        ),
        ("adamw", |config| config.with_optimiser(OptimiserConfig::adamw())),
        ("label smoothing", |config| config.with_label_smoothing(0.1)),
        ("mixup", |config| config.with_mixup(1.0)),
        ("epsilon", |config| config.with_epsilon_schedule(EpsilonSchedule::new(9.0))),
        ("head", |config| {
            config.with_groups(GroupsConfig { head_learning_rate: 3.0, ..GroupsConfig::default() })
        }),
        ("decay", |config| config.with_weight_decay(0.5)),
    ] {
        assert_ne!(loss(change), plain, "{name}");
    }
    let spared = loss(|config| {
        let groups = GroupsConfig { decay: Decay::Weights, ..GroupsConfig::default() };
        config.with_weight_decay(0.5).with_groups(groups)
    });
    assert_ne!(spared, loss(|config| config.with_weight_decay(0.5)));
    // One epoch on clean images is clean training, to the bit.
    let clean = loss(|config| config.with_epsilon_schedule(EpsilonSchedule::new(1.0).with_clean_epochs(1.0)));
    let standard = loss(|config| TrainConfig { method: Method::Standard, ..config });
    assert_eq!(clean, standard);
}

#[test]
fn half_precision_reaches_the_adversary_and_nothing_else() {
    let fit = |precision| {
        let config = config(Method::TwinsAt).with_epochs(1).with_attack_precision(precision);
        trainer(config).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap()
    };
    let single = fit(Precision::F32);
    for precision in [Precision::Bf16, Precision::F16] {
        let half = fit(precision);
        assert_eq!(half.last.conv.weight.val().dtype(), DType::F32);
        let (half, single) = (half.history[0].loss, single.history[0].loss);
        // Another sign of a few small gradients: the loss is not the same, and the same to a per cent.
        assert!(half != single && (half - single).abs() < 0.01 * single, "{precision}: {half}, {single}");
    }
}

#[test]
fn a_mixed_precision_run_resumes_to_the_same_bits() {
    resumes_to_the_same_bits(config(Method::TwinsAt).with_precision(Precision::Bf16));
}

fn resumes_to_the_same_bits(config: TrainConfig) {
    let folder = tempfile::tempdir().unwrap();
    let config = config.with_ema_decay(0.9).with_checkpoint_steps(2);
    let straight = trainer(config.clone()).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap();
    let stop = Arc::new(AtomicBool::new(true));
    let mut interruptions = 0;
    let resumed = loop {
        // The flag is up from the beginning: every run makes one step.
        let trainer = trainer(config.clone()).with_run_directory(folder.path(), ExistingRun::Resume);
        let trainer = if interruptions < 8 { trainer.with_stop_flag(stop.clone()) } else { trainer };
        // Once there is a checkpoint, the model given is only its shape.
        let model = Net::new(4, if interruptions == 0 { 1 } else { 99 });
        let trained = trainer.fit(model, Squares::dataset(90, 1)).unwrap();
        if trained.ended == Ended::Completed {
            break trained;
        }
        interruptions += 1;
    };
    assert_eq!(interruptions, 8);
    assert_eq!(Weights::of(&resumed.last), Weights::of(&straight.last));
    assert_eq!(Weights::of(&resumed.best), Weights::of(&straight.best));
    assert_eq!(resumed.best_epoch, straight.best_epoch);
    let measured = |trained: &twins_train::Trained<Net>| -> Vec<_> {
        let metrics = trained.history.iter();
        let exact =
            metrics.map(|m| (m.epoch, m.steps, m.objective_accuracies.clone(), m.validation_robust_accuracy));
        exact.zip(trained.history.iter().map(|metrics| metrics.loss)).collect()
    };
    // The losses pass through JSON, whose floats may be read back one unit in the last place off.
    for (a, b) in measured(&resumed).into_iter().zip(measured(&straight)) {
        assert_eq!(a.0, b.0);
        assert!((a.1 - b.1).abs() <= 4.0 * f64::EPSILON * b.1.abs());
    }
    assert_eq!(resumed.history.len(), 3);
}

#[test]
fn the_run_directory_is_complete_and_guarded() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("new/run");
    let fit = |config, existing, images| {
        trainer(config).with_run_directory(&run, existing).fit(Net::new(4, 1), Squares::dataset(images, 1))
    };
    let config = config(Method::At);
    fit(config.clone(), ExistingRun::Refuse, 90).unwrap();
    let mut files: Vec<String> = std::fs::read_dir(&run)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let expected =
        ["best.safetensors", "config.json", "last.safetensors", "metrics.jsonl", "previous.safetensors"];
    assert_eq!(files, expected);
    assert_eq!(std::fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().count(), 3);
    let written = std::fs::read_to_string(run.join("config.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    // The training's ball: norm and epsilon are left to it.
    assert_eq!(
        written["resolved"]["validation"]["threat"],
        serde_json::json!({"norm": "linf", "epsilon": 0.05})
    );

    let refused = fit(config.clone(), ExistingRun::Refuse, 90).unwrap_err();
    assert!(matches!(refused, TrainError::RunExists { .. }), "{refused}");
    let other = fit(config.clone().with_lambda(0.4), ExistingRun::Resume, 90).unwrap_err().to_string();
    assert!(other.contains("lambda was 1.0 and is now 0.4"), "{other}");
    let other = fit(config.clone(), ExistingRun::Resume, 91).unwrap_err();
    assert!(matches!(other, TrainError::OtherData), "{other}");
    // A finished run resumes to nothing left to do; an overwritten one starts anew.
    assert_eq!(fit(config.clone(), ExistingRun::Resume, 90).unwrap().history.len(), 3);
    assert_eq!(fit(config.with_epochs(1), ExistingRun::Overwrite, 90).unwrap().history.len(), 1);
}

#[test]
fn the_branch_is_kept_for_resuming_and_dropped_from_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let run = |rank, freeze: &[&str]| {
        let freeze = freeze.iter().map(|path| (*path).to_owned()).collect();
        trainer(config(Method::AutoLora).with_auto_lora(AutoLoraConfig::new(rank)).with_freeze(freeze))
            .with_run_directory(folder.path(), ExistingRun::Overwrite)
            .fit(Net::new(4, 1), Squares::dataset(90, 1))
    };
    let trained = run(4, &[]).unwrap();
    let names = |model: &Net| Weights::of(model).tensors().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&trained.last), names(&Net::new(4, 1)));
    let read = |name: &str| {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(read("best.safetensors"), names(&trained.last));
    let last = read("last.safetensors");
    for part in ["model", "optimiser"] {
        for factor in ["a", "b"] {
            assert!(last.contains(&format!("{part}/objective-parameters.conv.weight.{factor}")), "{last:?}");
        }
    }
    assert!(trained.history[0].layers["objective-parameters.conv.weight.b"].weight_norm > 0.0);
    // The branch has classified more and more training images, so that its predictions count for more.
    let natural = |epoch: usize| trained.history[epoch].objective_accuracies[AutoLora::NATURAL_BRANCH];
    assert_eq!(natural(0).total, 81);
    assert!(natural(2).correct > natural(0).correct, "{} {}", natural(0), natural(2));

    let message = run(7, &[]).unwrap_err().to_string();
    assert!(message.contains("\"conv.weight\" is a 6 × 9 matrix"), "{message}");
    let message = run(4, &["conv"]).unwrap_err().to_string();
    assert!(message.contains("no weight for AutoLoRa's branch"), "{message}");
}

#[test]
fn weight_perturbation_begins_after_its_warm_up() {
    let fit = |epochs, warm_up| {
        let config = config(Method::TwinsTrades).with_epochs(epochs);
        let config = match warm_up {
            Some(warm_up) => config.with_awp(AwpConfig::new(0.05).with_warmup_epochs(warm_up)),
            None => config,
        };
        Weights::of(&trainer(config).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap().last)
    };
    assert_eq!(fit(1, Some(1)), fit(1, None));
    assert_ne!(fit(2, Some(1)), fit(2, None));
}

#[test]
fn a_damaged_checkpoint_is_replaced_by_the_previous() {
    let folder = tempfile::tempdir().unwrap();
    let fit = || {
        trainer(config(Method::At))
            .with_run_directory(folder.path(), ExistingRun::Resume)
            .fit(Net::new(4, 1), Squares::dataset(90, 1))
            .unwrap()
    };
    let straight = Weights::of(&fit().last);
    let last = folder.path().join("last.safetensors");
    let mut bytes = std::fs::read(&last).unwrap();
    let middle = bytes.len() - 100;
    bytes[middle] ^= 16;
    std::fs::write(&last, bytes).unwrap();
    let resumed = fit();
    let message = resumed.damaged_checkpoint.unwrap().to_string();
    assert!(message.contains("last.safetensors") && message.contains("checksum"), "{message}");
    assert_eq!(Weights::of(&resumed.last), straight);
    assert_eq!(resumed.history.len(), 3);
}

#[test]
fn a_non_finite_loss_stops_the_training() {
    // A step of this size makes every weight infinite at once.
    let config = config(Method::TwinsAt).with_learning_rate(1e38);
    let error = trainer(config.clone()).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("at step 2 of epoch 1"), "{message}");
}

#[test]
fn bad_input_is_named_and_nothing_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let fit = |config, model: Net, images| {
        trainer(config)
            .with_run_directory(&run, ExistingRun::Refuse)
            .fit(model, Squares::dataset(images, 1))
            .unwrap_err()
            .to_string()
    };
    let config = config(Method::TwinsAt);
    let message = fit(config.clone(), Net::new(3, 1), 40);
    assert!(message.contains("labels up to 3") && message.contains("3 classes"), "{message}");
    let tiny = ValidationConfig { fraction: Some(0.1), ..ValidationConfig::default() };
    let message = fit(config.clone().with_validation(tiny), Net::new(4, 1), 1);
    assert!(message.contains("empty"), "{message}");
    assert!(!run.exists());
    for bad in [
        config.clone().with_batch_size(1),
        config.clone().with_epochs(0),
        config.clone().with_learning_rate(f64::NAN),
    ] {
        assert!(Trainer::<Net>::new(bad).is_err());
    }
}

/// A model without any batch normalisation, from outside the library.
#[derive(Module, Debug)]
struct Flat {
    linear: Linear,
}

impl ImageClassifier for Flat {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.linear.forward(images.flatten(1, 3))
    }
}

#[test]
fn two_wing_methods_need_two_wing_layers() {
    let model = Flat { linear: LinearConfig::new(64, 4).init(&Device::flex()) };
    let fit = |method| {
        Trainer::new(config(method))
            .unwrap()
            .with_progress(ProgressDisplay::Hidden)
            .fit(model.clone(), Squares::dataset(40, 1))
    };
    let message = fit(Method::TwinsAt).unwrap_err().to_string();
    assert!(
        message.contains("no TwinsBatchNorm layer")
            && message.contains("standard, at, frozen-at, trades, mart, auto-lora"),
        "{message}"
    );
    fit(Method::Trades).unwrap();
}

/// The parameters that a training changed.
fn changed(config: TrainConfig) -> Vec<String> {
    let model = Net::new(4, 1);
    let before = Weights::of(&model);
    let trained = trainer(config).fit(model, Squares::dataset(90, 1)).unwrap();
    let after = Weights::of(&trained.last);
    let pairs = before.tensors().iter().zip(after.tensors());
    pairs.filter(|(before, after)| before.1 != after.1).map(|(before, _)| before.0.clone()).collect()
}

#[test]
fn a_linear_probe_changes_the_head_alone() {
    for method in [Method::TwinsAt, Method::AutoLora] {
        let probe = config(method).with_tuning(Tuning::LinearProbe);
        assert_eq!(changed(probe), ["head.bias", "head.weight"], "{method}");
    }
    let then_full = config(Method::TwinsAt).with_tuning(Tuning::ProbeThenFull(ProbeConfig::new(2)));
    let paths = changed(then_full);
    for path in ["conv.weight", "head.weight", "norm.frozen_gamma", "norm.gamma", "norm.running_mean"] {
        assert!(paths.iter().any(|changed| changed == path), "{path}");
    }
}

#[test]
fn frozen_paths_stay() {
    let freeze = |paths: &[&str]| {
        config(Method::TwinsAt).with_freeze(paths.iter().map(|path| (*path).to_owned()).collect())
    };
    // A frozen normalisation keeps its running statistics too.
    assert_eq!(changed(freeze(&["conv", "norm"])), ["head.bias", "head.weight"]);
    let perturbed = freeze(&["conv", "norm"]).with_awp(AwpConfig::new(0.05));
    assert_eq!(changed(perturbed), ["head.bias", "head.weight"]);
    assert!(changed(freeze(&["head.bias"])).contains(&"norm.frozen_gamma".to_owned()));
    let fit = |config| trainer(config).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap_err().to_string();
    let message = fit(freeze(&["con"]));
    assert!(message.contains("\"con\"") && message.contains("conv, norm, head"), "{message}");
    let message = fit(freeze(&["conv", "norm", "head"]));
    assert!(message.contains("nothing is left to train"), "{message}");
    let probes = [Tuning::LinearProbe, Tuning::ProbeThenFull(ProbeConfig::new(1))];
    for tuning in probes {
        let message = fit(freeze(&["head"]).with_tuning(tuning));
        assert!(message.contains("nothing is left to train"), "{message}");
    }
}

#[test]
fn what_a_training_froze_is_trained_by_the_next_one() {
    let fit = |config: TrainConfig, model: Net| {
        trainer(config.with_epochs(1)).fit(model, Squares::dataset(90, 1)).unwrap()
    };
    let probe = config(Method::At).with_tuning(Tuning::LinearProbe);
    let frozen = config(Method::At).with_freeze(vec!["conv".to_owned()]);
    for first in [probe, frozen] {
        let first = fit(first, Net::new(4, 1));
        for model in [first.last, first.best] {
            let weight = |model: &Net| Weights::of(model).tensors()["conv.weight"].clone();
            let before = weight(&model);
            assert_ne!(weight(&fit(config(Method::At), model).last), before);
        }
    }
}

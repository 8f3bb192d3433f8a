//! Every control that a comparison of TWINS needs can be written as an arm.

use twins_nn::Affine;
use twins_train::{EpsilonSchedule, Method, Tuning};

use super::super::{Candidate, SettingsFrom, SettingsOf, StudyConfig, StudyJob};
use crate::experiment::Experiment;

const STUDY: &str = r#"
seeds = [0, 1, 2]
baseline = "at"

[experiment]
data.source = "cifar10:data"
model.weights = "resnet20.pth"
model.arch = "resnet20"
model.rename = ["a=b"]
epochs = 10

[[arms]]
name = "at"
method = "at"

[[arms]]
name = "scaled-rate"
method = "at"
settings_of = { arm = "at", learning_rate_factor = 2.0 }

[[arms]]
name = "half-batch"
method = "at"
accumulate = 2

[[arms]]
name = "shared-affine"
method = "twins-at"
model.affine = "shared"

[[arms]]
name = "frozen-only"
method = "frozen-at"

[[arms]]
name = "random-init"
method = "at"
model.weights = "none"

[[arms]]
name = "probe-first"
method = "at"
tuning = { kind = "probe-then-full", probe_epochs = 2 }

[[arms]]
name = "auto-lora"
method = "auto-lora"

[[arms]]
name = "lambda-half"
method = "twins-at"
lambda = 0.5

[[arms]]
name = "clipped"
method = "at"
gradient_clip = 1.0
"#;

#[test]
fn every_control_resolves() {
    let study = StudyConfig::from_toml("study.toml", STUDY).unwrap().check().unwrap();
    assert_eq!(study.runs().len(), 30);
    let arm = |arm: &str| -> Experiment {
        let job = StudyJob::Run { arm: arm.to_owned(), seed: 2 };
        study.experiment(&job, Some(&Candidate::of_learning_rate(0.25))).unwrap().unwrap()
    };
    for job in study.runs() {
        let experiment = study.experiment(&job, None).unwrap().unwrap();
        let StudyJob::Run { arm, seed } = job else { panic!("{job}") };
        assert_eq!(experiment.config().training.seed, seed);
        assert_eq!(experiment.config().training.epochs, 10);
        assert_eq!(experiment.config().model.weights.is_none(), arm == "random-init");
    }
    let at = arm("at");
    assert_eq!((at.config().training.method, at.config().training.learning_rate), (Method::At, 0.25));
    assert_eq!(at.config().training.accumulate, 1);
    let scaled = study.arms.iter().find(|arm| arm.name == "scaled-rate").unwrap();
    assert_eq!(
        scaled.settings_from,
        SettingsFrom::Of(SettingsOf { arm: "at".to_owned(), learning_rate_factor: 2.0 })
    );
    let rate = |arm: &str| {
        let job = StudyJob::Run { arm: arm.to_owned(), seed: 2 };
        study.experiment(&job, None).unwrap().unwrap().config().training.learning_rate
    };
    assert_eq!(rate("scaled-rate"), 2.0 * rate("at"), "there are no trials to wait for");
    assert_eq!(arm("half-batch").config().training.accumulate, 2);
    assert_eq!(arm("shared-affine").config().model.affine, Some(Affine::Shared));
    assert_eq!(arm("frozen-only").config().training.method, Method::FrozenAt);
    assert!(
        arm("random-init").config().model.rename.is_empty(),
        "there is no file whose entries could be renamed"
    );
    assert!(
        matches!(&arm("probe-first").config().training.tuning, Tuning::ProbeThenFull(probe) if probe.epochs == 2)
    );
    assert_eq!(arm("auto-lora").config().training.method, Method::AutoLora);
    assert_eq!(arm("lambda-half").config().training.lambda, 0.5);
    assert_eq!(arm("clipped").config().training.gradient_clip, Some(1.0));
}

#[test]
fn trials_are_not_measured_on_test_images() {
    use crate::settings::TestMeasurement;

    let text = STUDY.replace(
        "[[arms]]\nname = \"at\"",
        "[trials]\nlearning_rates = [0.1, 0.2]\nseed = 100\nepochs = 4\n\n[[arms]]\nname = \"at\"",
    );
    let study = StudyConfig::from_toml("study.toml", &text).unwrap().check().unwrap();
    let trial = StudyJob::Trial { arm: "half-batch".to_owned(), candidate: Candidate::of_learning_rate(0.2) };
    let experiment = study.experiment(&trial, None).unwrap().unwrap();
    let config = experiment.config();
    assert_eq!(config.evaluation.test, TestMeasurement::Skipped);
    assert_eq!((config.training.seed, config.training.epochs, config.training.learning_rate), (100, 4, 0.2));
    assert_eq!(config.training.accumulate, 2);
    let run = StudyJob::Run { arm: "half-batch".to_owned(), seed: 1 };
    let config = study.experiment(&run, None).unwrap().unwrap().config().clone();
    assert_eq!((config.evaluation.test, config.training.epochs), (TestMeasurement::Measured, 10));
}

#[test]
fn a_candidate_has_all_settings_of_a_table_that_needs_them_together() {
    let text = r#"
seeds = [0]
[experiment]
model.arch = "tiny-resnet"
[trials]
candidates = [
    { epsilon_schedule = { rise_epochs = 2 }, validation.protocol.threat = { norm = "linf", epsilon = "8/255" } },
    { epsilon_schedule = { clean_epochs = 1, rise_epochs = 2 }, validation.protocol.threat = { norm = "linf", epsilon = "8/255" } },
]
seed = 100
[[arms]]
name = "at"
method = "at"
"#;
    let study = StudyConfig::from_toml("study.toml", text).unwrap().check().unwrap();
    let job = StudyJob::Trial { arm: "at".to_owned(), candidate: study.arms[0].tried[1].clone() };
    let trial = study.experiment(&job, None).unwrap().unwrap();
    let training = &trial.config().training;
    assert_eq!(training.epsilon_schedule, Some(EpsilonSchedule::new(2.0).with_clean_epochs(1.0)));
    assert_eq!(training.validation_protocol().unwrap().threat.to_string(), "Linf 8/255");
}

#[test]
fn a_control_keeps_its_own_start_of_the_adversary() {
    let text = r#"
seeds = [0]
[experiment]
model.arch = "tiny-resnet"
[trials]
candidates = [{ adversary.start = { gaussian = 0.001 } }, { adversary.start = "clean", lambda = 0.5 }]
seed = 100
[[arms]]
name = "twins"
method = "twins-at"
[[arms]]
name = "uniform"
method = "twins-at"
adversary.start = "uniform"
settings_of = { arm = "twins" }
"#;
    let check = |text: &str| StudyConfig::from_toml("study.toml", text).unwrap().check();
    let study = check(text).unwrap();
    let [twins, uniform] = &study.arms[..] else { panic!("two arms") };
    let rate = twins.run(0, &twins.tried[0]).unwrap().config().training.learning_rate;
    let only_rate = Candidate::of_learning_rate(rate);
    assert_eq!(uniform.tried, [only_rate.clone(), only_rate.with_setting("lambda", 0.5)]);
    // With candidates for it, an arm must not give it itself.
    let both = text.replace("settings_of = { arm = \"twins\" }", "");
    let message = check(&both).unwrap_err().to_string();
    assert!(message.contains("\"uniform\" gives adversary.start.gaussian, but [trials]"), "{message}");
}

/// The second control is one of the first.
const CHAIN: &str = r#"
seeds = [0, 1]
[experiment]
data.source = "builtin"
model.arch = "tiny-resnet"
gradient_clip = 5.0
[[arms]]
name = "twins"
method = "twins-at"
learning_rate = 0.1
lambda = 0.3
gradient_clip = 1.0
weight_decay = 0.001
[[arms]]
name = "shared"
model.affine = "shared"
settings_of = { arm = "twins" }
[[arms]]
name = "ordinary"
method = "at"
settings_of = { arm = "twins" }
[[arms]]
name = "faster"
weight_decay = 0.002
settings_of = { arm = "shared", learning_rate_factor = 2.0 }
"#;

#[test]
fn a_control_has_the_settings_that_its_arm_states() {
    let study = StudyConfig::from_toml("study.toml", CHAIN).unwrap().check().unwrap();
    for (arm, method, affine, rate, decay) in [
        ("twins", Method::TwinsAt, None, 0.1, 0.001),
        ("shared", Method::TwinsAt, Some(Affine::Shared), 0.1, 0.001),
        // Lambda has no effect there.
        ("ordinary", Method::At, None, 0.1, 0.001),
        ("faster", Method::TwinsAt, Some(Affine::Shared), 0.2, 0.002),
    ] {
        let job = StudyJob::Run { arm: arm.to_owned(), seed: 1 };
        let experiment = study.experiment(&job, None).unwrap().unwrap();
        let (model, training) = (&experiment.config().model, &experiment.config().training);
        assert_eq!(model.affine, affine, "{arm}");
        assert_eq!((training.method, training.gradient_clip), (method, Some(1.0)), "{arm}");
        assert_eq!((training.learning_rate, training.weight_decay), (rate, decay), "{arm}");
    }
}

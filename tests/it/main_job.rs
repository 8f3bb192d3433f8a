//! The README's main job: its starting weights, its settings, and its results within their spread.

use std::fs;
use std::path::PathBuf;

use burn_twins::experiment::{Checkpoint, Draft, Layer, RunOptions, StudyConfig, StudyOptions, StudyResults};
use burn_twins::report::ScoreKind;
use twins_testing::repository;

fn study(name: &str) -> StudyConfig {
    let weights = repository().join("examples/studies/letters.safetensors");
    let here = Layer::setting("the test", "model.weights", weights).unwrap();
    StudyConfig::read(repository().join("examples/studies").join(name)).unwrap().with_layer(here)
}

/// What was recorded when the study was run.
fn recorded(name: &str) -> StudyResults {
    let path: PathBuf = repository().join("docs/study").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_settings_are_those_that_the_trials_chose() {
    let trials = recorded("digits-choice.json");
    let choice = study("digits-choice.toml").check().unwrap();
    let main_job = study("digits.toml").check().unwrap();
    for arm in &trials.arms {
        assert_eq!(arm.trials.len(), 6, "{}", arm.name);
        let job = main_job.runs().into_iter().find(|job| job.arm() == arm.name).unwrap();
        let settings = main_job.experiment(&job, None).unwrap().unwrap();
        let chosen = choice.experiment(&job, arm.chosen.as_ref()).unwrap().unwrap();
        assert_eq!(settings.config(), chosen.config(), "{}", arm.name);
    }
}

#[test]
fn the_first_seed_repeats_the_recorded_results() {
    let recorded = recorded("digits.json");
    let mut first = study("digits.toml")
        .with_layer(Layer::from_toml("the test", "evaluation.autoattack = \"none\"").unwrap());
    first.seeds.truncate(1);
    let folder = tempfile::tempdir().unwrap();
    let results = first.check().unwrap().run(folder.path(), StudyOptions::new()).unwrap().results;
    assert!(results.is_complete());
    for arm in &results.arms {
        let before = recorded.arms.iter().find(|other| other.name == arm.name).unwrap();
        for metric in [ScoreKind::Clean, ScoreKind::LastIterate] {
            let expected = &before.summary(metric, Checkpoint::Best).unwrap().summary;
            let accuracy = arm.runs[0].score(metric).unwrap();
            // Rounding differs between processors and leads to another training, as another seed does: three standard deviations of a run,
            // which are those over the seeds and of the choice of 500 images.
            let images = expected.mean * (1.0 - expected.mean) / accuracy.total as f64;
            let spread = 3.0 * (expected.standard_deviation.unwrap().powi(2) + images).sqrt();
            let off = accuracy.fraction() - expected.mean;
            assert!(off.abs() < spread, "{}, {metric:?}: {off:+.4}, {spread:.4}", arm.name);
        }
    }
}

#[test]
fn the_settings_for_the_built_in_data_train() {
    let weights = repository().join("examples/studies/letters.safetensors");
    let settings = Layer::from_toml("the test", "evaluation.report_images = 0").unwrap();
    let draft = Draft::new()
        .with_layer(settings)
        .with_layer(Layer::setting("the test", "model.weights", weights).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let outcome = draft.resolve().unwrap().run(folder.path().join("run"), RunOptions::new()).unwrap();
    // As accurate as the main job, whose trials chose these settings, up to the spread of its seeds and a smaller validation.
    assert!(outcome.test.clean.fraction() > 0.9, "{:?}", outcome.test);
    let frozen: Vec<_> = outcome.record.history.iter().map(|epoch| epoch.loss_frozen.unwrap()).collect();
    assert!(frozen.last().unwrap() < &1.0, "the frozen wing learns: {frozen:?}");
}

#[test]
fn every_committed_study_is_valid() {
    let mut studies = Vec::new();
    for entry in fs::read_dir(repository().join("examples/studies")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("[[arms]]") {
            StudyConfig::read(&path)
                .unwrap()
                .check()
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            studies.push(path);
        } else {
            Draft::new().with_layer(Layer::read(&path).unwrap()).resolve().unwrap();
        }
    }
    assert!(studies.len() >= 5, "{studies:?}");
}

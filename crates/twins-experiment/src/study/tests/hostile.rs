//! Damaged and hostile files of studies and runs: each is read or refused with a message, within the limits of its size.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use twins_data::Grouping;
use twins_testing::{Counting, check_message, each_damaged};
use twins_train::ExistingRun;

use super::super::identity::StudyIdentity;
use super::super::{Divergence, ReportSources, StudyConfig, StudyJob};
use super::trainings::{finish, study, trial};
use crate::error::ExperimentError;
use crate::run::{Identity, ResolvedInputs, RunDirectory};
use crate::settings::{Draft, Layer};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const STUDY: &str = r#"
name = "Small"
seeds = [0, 1]
baseline = "twins"
[experiment]
model.arch = "tiny-resnet"
epochs = 2
adversary.epsilon = "4/255"
[trials]
candidates = [{ learning_rate = 0.1 }, { learning_rate = 0.01, lambda = 0.5 }]
seed = 100
[[arms]]
name = "twins"
method = "twins-at"
[[arms]]
name = "scaled"
method = "at"
settings_of = { arm = "twins", learning_rate_factor = 2.0 }
"#;

/// An experiment's settings in every table.
const EXPERIMENT: &str = r#"
[data]
source = "builtin"
train_images = "100"
[model]
arch = "tiny-resnet"
normalisation = "imagenet"
[training]
method = "trades"
epochs = 3
batch_size = 32
accumulate = 2
[training.adversary]
epsilon = "8/255"
steps = 3
[evaluation]
steps = 5
report_images = 10
autoattack = "none"
[compute]
devices = ["cpu"]
cpu_shards = 2
[log]
formats = ["csv"]
"#;

fn check_error(error: &ExperimentError) {
    check_message(&error.to_string());
}

#[test]
fn damaged_study_files_are_refused_or_read() {
    let mut whole = 0;
    each_damaged(&[("study.toml", STUDY.as_bytes().to_vec())], 600, |_, bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match StudyConfig::from_toml("study.toml", text).and_then(StudyConfig::check) {
            Ok(study) => whole += usize::from(!study.runs().is_empty()),
            Err(error) => check_error(&error),
        }
    });
    assert!(whole > 0, "some numbers may have any value");
}

#[test]
fn damaged_settings_of_an_experiment_are_refused_or_read() {
    let mut whole = 0;
    each_damaged(&[("run.toml", EXPERIMENT.as_bytes().to_vec())], 1500, |_, bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let layer = Layer::from_toml("run.toml", text);
        match layer.and_then(|layer| Draft::new().with_layer(layer).resolve()) {
            Ok(experiment) => {
                experiment.test_protocol().unwrap();
                whole += 1;
            }
            Err(error) => check_error(&error),
        }
    });
    assert!(whole > 0, "some numbers may have any value");
}

/// The content of `experiment.json` for settings in every table.
fn identity() -> Identity {
    let layer = Layer::from_toml("run.toml", EXPERIMENT).unwrap();
    let experiment = Draft::new().with_layer(layer).resolve().unwrap();
    Identity { settings: experiment.config().clone(), resolved: ResolvedInputs::example() }
}

#[test]
fn damaged_settings_of_a_run_are_refused_or_compared() {
    let folder = tempfile::tempdir().unwrap();
    let directory = RunDirectory::new(folder.path());
    // With this file, the directory holds a run.
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let resumed = identity();
    let whole = serde_json::to_vec_pretty(&resumed).unwrap();
    let mut compared = 0;
    each_damaged(&[("experiment.json", whole)], 600, |name, bytes| {
        fs::write(folder.path().join(name), bytes).unwrap();
        match directory.resumed(ExistingRun::Resume) {
            Ok(recorded) => {
                let recorded = recorded.expect("the directory holds a run");
                resumed.differences(&recorded).iter().for_each(|difference| check_message(difference));
                compared += 1;
            }
            Err(error) => check_error(&error),
        }
    });
    assert!(compared > 0, "some numbers may have any value");
}

#[test]
fn settings_of_a_run_stay_in_the_line_of_the_error() {
    let mut recorded = identity();
    recorded.settings.training.validation.groups = Grouping::Prefix("\u{9b}2J\u{202e}".to_owned());
    recorded.resolved.classes = vec!["\u{9b}2J\u{202e}".to_owned(), "b".to_owned()];
    let differences = identity().differences(&recorded);
    assert_eq!(differences.len(), 2, "{differences:?}");
    for difference in differences {
        check_message(&difference);
        assert!(difference.contains("\\u{9b}2J\\u{202e}"), "{difference}");
    }
}

/// Writes the report of a directory, as `twins report` does, and checks the table or the error.
fn report(directory: &Path) {
    let sources = ReportSources::find(&[directory.to_owned()]);
    match sources.and_then(|sources| sources.write(&directory.join("report.html"))) {
        Ok(results) => {
            if let Some(results) = results {
                check_message(&results.to_table());
            }
        }
        Err(error) => check_error(&error),
    }
}

/// The directory of a study of which one arm has its trials and a run.
fn finished() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (_, identity) = study();
    identity.write(folder.path()).unwrap();
    for (rate, correct) in [(0.1, [50, 80]), (0.01, [40, 70])] {
        finish(folder.path(), &trial("at", rate), rate, correct);
    }
    finish(folder.path(), &StudyJob::Run { arm: "at".to_owned(), seed: 0 }, 0.1, [45, 75]);
    folder
}

#[test]
fn damaged_files_of_a_finished_study_make_a_report_or_an_error() {
    let folder = finished();
    let diverged = trial("twins", 0.1);
    finish(folder.path(), &diverged, 0.1, [50, 80]);
    let divergence = Divergence { what: "the loss is not finite (NaN)".to_owned(), epoch: 1, step: 1 };
    divergence.write(&folder.path().join(diverged.directory())).unwrap();
    let names = [
        "study.json",
        "trials/twins/lr-0.1/diverged.json",
        "trials/at/lr-0.1/experiment.json",
        "trials/at/lr-0.1/result.json",
        "runs/at/seed-0/experiment.json",
        "runs/at/seed-0/result.json",
    ];
    let files: Vec<(&str, Vec<u8>)> =
        names.iter().map(|name| (*name, fs::read(folder.path().join(name)).unwrap())).collect();
    report(folder.path());
    each_damaged(&files, 720, |name, bytes| {
        let path = folder.path().join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        report(folder.path());
        fs::write(&path, whole).unwrap();
    });
}

/// The error of reading a recorded study after a change.
fn refused(change: impl Fn(&mut Value)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (_, identity) = study();
    identity.write(folder.path()).unwrap();
    let path = folder.path().join(StudyIdentity::FILE);
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(&path, value.to_string()).unwrap();
    let error = StudyIdentity::read(folder.path()).map(|_| ()).unwrap_err();
    check_error(&error);
    error.to_string()
}

#[test]
fn a_recorded_study_that_no_check_has_passed_is_refused() {
    let lacks = "lacks settings that it may be run with";
    // The arms are at and twins, with trials, and scaled, with the settings of at.
    let of = |arm: &str| json!({ "of": { "arm": arm, "learning_rate_factor": 2.0 } });
    assert!(refused(|value| value["arms"][0]["resolved"] = json!([])).contains(lacks));
    assert!(refused(|value| value["arms"][2]["settings_from"] = of("none")).contains(lacks));
    assert!(refused(|value| value["arms"][2]["settings_from"] = of("scaled")).contains(lacks), "a circle");
    assert!(refused(|value| value["arms"][2]["settings_from"] = json!({ "given": 0.1 })).contains(lacks));
    let unknown = json!({ "trials": [{ "learning_rate": 7.0 }] });
    assert!(refused(|value| value["arms"][0]["settings_from"] = unknown.clone()).contains(lacks));
    let fewer = |value: &mut Value| value["arms"][2]["resolved"].as_array_mut().unwrap().truncate(1);
    assert!(refused(fewer).contains(lacks));
    for name in ["../../elsewhere", "/tmp", "", "TWINS", "a\u{1b}[2J\nb"] {
        let message = refused(|value| value["arms"][0]["name"] = json!(name));
        assert!(message.contains("cannot be the name of an arm"), "{message}");
    }
    assert!(refused(|value| value["seeds"] = json!([1, 1])).contains("the seed 1 twice"));
    let many: Vec<u64> = (0..5_000).collect();
    assert!(refused(|value| value["seeds"] = json!(many)).contains("more than 10000"));
    // Each takes its settings from the one before it, and no run is to be made of any.
    let chain = |value: &mut Value| {
        let link = |number: usize| {
            let mut arm = value["arms"][2].clone();
            arm["name"] = json!(format!("a{number}"));
            if number > 0 {
                arm["settings_from"] = of(&format!("a{}", number - 1));
            }
            arm
        };
        let arms: Vec<Value> = (0..=100).map(link).collect();
        value["arms"] = json!(arms);
        value["seeds"] = json!([]);
    };
    assert!(refused(chain).contains("101 arms, more than 100"));
}

#[test]
fn a_candidate_s_directory_is_one_folder() {
    let candidate: super::super::Candidate =
        serde_json::from_value(json!({ "../../a": "../b", "learning_rate": 0.1 })).unwrap();
    let job = StudyJob::Trial { arm: "at".to_owned(), candidate };
    assert_eq!(job.directory(), Path::new("trials/at/lr-0.1,..%2F..%2Fa-..%2Fb"));
}

#[test]
fn labels_of_any_kind_stay_in_their_line_of_the_table() {
    let folder = finished();
    let path = folder.path().join("runs/at/seed-0/result.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let long = "long ".repeat(2_000);
    for label in ["\u{1b}[2J\nSmall", "\u{202e}x\u{9b}", long.trim()] {
        record["scores"][0]["label"] = json!(label);
        fs::write(&path, record.to_string()).unwrap();
        let sources = ReportSources::find(&[folder.path().to_owned()]).unwrap();
        let results = sources.write(&folder.path().join("report.html")).unwrap().unwrap();
        let table = results.to_table();
        check_message(&table);
        let rows =
            table.lines().skip_while(|line| !line.starts_with("arm")).take_while(|line| !line.is_empty());
        assert_eq!(rows.count(), 4, "a heading and three arms: {table}");
        assert!(table.lines().all(|line| line.chars().count() < 400), "{table}");
    }
}

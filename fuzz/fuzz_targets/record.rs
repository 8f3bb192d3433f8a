//! The files of a run. The first byte chooses: `result.json`, and `metrics.jsonl` with a line for each epoch, which a report reads;
//! `experiment.json`, which resuming and the report of a study read; and `diverged.json`, which a diverged run of a study has.

#![no_main]

use std::sync::LazyLock;

use burn_twins_fuzz::{choice, path, refused, report_of_study, within, write};
use libfuzzer_sys::fuzz_target;
use twins_experiment::{Draft, Experiment, ExperimentConfig, Layer, RunDirectory};
use twins_report::{Report, RunRecord};

// The first byte of a file of the corpus chooses, too.
const RESULT: &[u8] = include_bytes!("../corpus/record/result");
const METRICS: &[u8] = include_bytes!("../corpus/record/metrics");
const EXPERIMENT: &[u8] = include_bytes!("../corpus/record/experiment");
const DIVERGED: &[u8] = include_bytes!("../corpus/record/diverged");

/// A study with one arm and one seed, whose run has the settings of `EXPERIMENT`.
const STUDY: &[u8] = include_bytes!("../corpus/study/arm.json");

/// The experiment that is resumed.
static RESUMED: LazyLock<Experiment> = LazyLock::new(|| {
    let layer = Layer::from_toml("run.toml", "method = \"at\"\nmodel.arch = \"tiny-resnet\"\n");
    Draft::new().with_layer(layer.expect("these are settings")).resolve().expect("they can be run")
});

fn report(result: &[u8], metrics: &[u8]) {
    write("record/result.json", result);
    write("record/metrics.jsonl", metrics);
    let record = within(result.len() + metrics.len(), || RunRecord::read(path("record")));
    match record {
        Ok(record) => {
            let html = Report::default().with_run(record.clone()).to_html();
            let acts = |character: char| character.is_control() && !"\n\t".contains(character);
            assert!(!html.contains(acts) && !html.contains("<script"), "{html}");
            // What is written is read back, unless its last epoch now has a number that is greater than that of its epochs.
            record.write(path("again")).expect("a record can be written");
            write("again/metrics.jsonl", metrics);
            match RunRecord::read(path("again")) {
                Ok(again) => assert_eq!(again, record),
                Err(_) => assert!(record.history.len() < record.finished_epochs),
            }
        }
        Err(error) => refused(&error),
    }
}

fn resume(experiment: &[u8]) {
    write("run/config.json", b"{}");
    write("run/experiment.json", experiment);
    let directory = RunDirectory::new(path("run"));
    let settings = || RESUMED.resumed_settings(&directory).and_then(ExperimentConfig::check);
    if let Err(error) = within(experiment.len(), settings) {
        refused(&error);
    }
}

fn study(experiment: &[u8], diverged: &[u8]) {
    write("study/study.json", STUDY);
    write("study/runs/a/seed-0/experiment.json", experiment);
    write("study/runs/a/seed-0/diverged.json", diverged);
    report_of_study(STUDY.len() + experiment.len() + diverged.len(), &path("study"));
}

fuzz_target!(|bytes: &[u8]| {
    let (which, content) = choice(bytes);
    match which % 4 {
        0 => report(content, &METRICS[1..]),
        1 => report(&RESULT[1..], content),
        2 => {
            resume(content);
            study(content, &DIVERGED[1..]);
        }
        _ => study(&EXPERIMENT[1..], content),
    }
});

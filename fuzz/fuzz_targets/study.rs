//! The file of a study, and the file in which a study is recorded.

#![no_main]

use burn_twins_fuzz::{path, refused, within, write};
use libfuzzer_sys::fuzz_target;
use twins_experiment::{ReportSources, StudyConfig};
use twins_testing::check_message;

fuzz_target!(|bytes: &[u8]| {
    let file = write("study.toml", bytes);
    if let Err(error) = within(bytes.len(), || StudyConfig::read(&file)?.check()) {
        refused(&error);
    }
    write("study/study.json", bytes);
    let directory = path("study");
    let results = within(bytes.len(), || {
        ReportSources::find(&[directory.clone()])?.write(&directory.join("report.html"))
    });
    match results {
        Ok(results) => results.iter().for_each(|results| check_message(&results.to_table())),
        Err(error) => refused(&error),
    }
});

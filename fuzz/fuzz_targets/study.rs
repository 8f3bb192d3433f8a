//! The file of a study, and the file in which a study is recorded.

#![no_main]

use burn_twins_fuzz::{path, refused, report_of_study, within, write};
use libfuzzer_sys::fuzz_target;
use twins_experiment::StudyConfig;

fuzz_target!(|bytes: &[u8]| {
    let file = write("study.toml", bytes);
    if let Err(error) = within(bytes.len(), || StudyConfig::read(&file)?.check()) {
        refused(&error);
    }
    write("study/study.json", bytes);
    report_of_study(bytes.len(), &path("study"));
});

//! Durations are differences of `Instant`, which never goes back. The clock of the system, which may jump, gives only dates.

use std::fs;
use std::path::PathBuf;

use twins_testing::repository;

use super::all_files;

/// The other tests of this folder check that no time in a result is negative, after kills too.
#[test]
fn the_clock_of_the_system_is_read_for_dates_alone() {
    let root = repository();
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let source = entry.unwrap().path().join("src");
        if source.exists() {
            let code =
                all_files(&source).into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs"));
            files.extend(code.map(|file| source.join(file)));
        }
    }
    assert!(files.len() > 100, "only {} files of source code", files.len());
    // The clock itself, and times of files.
    let sources =
        ["SystemTime", "UNIX_EPOCH", "Utc::now", "Local::now", ".modified(", ".created(", ".accessed("];
    let reads = |file: &&PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        sources.iter().any(|source| text.contains(source))
    };
    let mut reading: Vec<String> = files
        .iter()
        .filter(reads)
        .map(|file| file.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    reading.sort();
    // The start of a run, and the time of an event for TensorBoard. Their unit tests pass a time before 1970.
    let dates = [
        "crates/twins-report/src/record/provenance.rs",
        "crates/twins-train/src/metrics/observers/tensorboard/observer.rs",
    ];
    assert_eq!(reading, dates);
}

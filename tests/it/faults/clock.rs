//! The clock of the system jumps. Durations are differences of `Instant`, which never goes back; the clock gives only dates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use twins_testing::repository;

use super::{
    QUICK, all_files, evaluate, finetune, json, save_net, start, succeed, timeless, training_result,
};

/// Debian's package faketime, which gives a process another clock.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// Runs a command whose clock is a year ahead when it starts, and a year behind once the file exists that it writes.
fn with_a_jump(mut command: Command, library: &Path, written: &Path) {
    let clock = tempfile::NamedTempFile::new().unwrap();
    fs::write(clock.path(), "+365d").unwrap();
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", clock.path());
    // The file is read again for every question, and the clock that never goes back is left as it is.
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut process = start(command);
    process.wait_for("the jump", || written.exists());
    fs::write(clock.path(), "-365d").unwrap();
    assert!(process.0.wait().unwrap().success());
}

#[test]
fn a_clock_that_jumps_changes_no_result() {
    let Some(library) = library() else {
        println!("skipped: this machine lacks Debian's package faketime");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    let log = ["--epochs", "3", "--log", "jsonl,tensorboard"];
    let train = |out: &str| finetune(folder, out, &[&QUICK[..], &log].concat());
    succeed(train("straight"));
    with_a_jump(train("jumped"), &library, &folder.join("jumped/at/last.safetensors"));
    assert!(training_result(folder, "jumped") == training_result(folder, "straight"));
    let record = json(folder.join("jumped/at/result.json"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let started = Duration::from_secs(record["provenance"]["started"].as_u64().unwrap());
    assert!(started > now + Duration::from_secs(300 * 86_400), "the clock was not ahead: {started:?}");
    let seconds = record["provenance"]["seconds"].as_f64().unwrap();
    assert!((0.0..600.0).contains(&seconds), "{seconds}");

    let attack = ["--attack", "fgsm,square", "--queries", "100", "--limit", "100"];
    let measure = |out: &str| evaluate(folder, out, &attack);
    succeed(measure("straight.json"));
    with_a_jump(measure("jumped.json"), &library, &folder.join("jumped.journal"));
    assert_eq!(timeless(json(folder.join("jumped.json"))), timeless(json(folder.join("straight.json"))));
}

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

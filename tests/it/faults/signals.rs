//! A second signal, while the work that the first one lets end is still being done.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{QUICK, finetune, save_study, signal, start, study};

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_study(folder);
    for (name, status) in [("INT", 130), ("TERM", 143)] {
        let out = format!("run-{name}");
        ends_at_once(finetune(folder, &out, &QUICK), &folder.join(out).join("at"), name, status);
        let out = format!("study-{name}");
        ends_at_once(study(folder, &out, &[]), &folder.join(out).join("runs/at/seed-0"), name, status);
    }
}

/// Sends signals to a command that trains in the directory.
fn ends_at_once(command: Command, run: &Path, name: &str, status: i32) {
    std::fs::create_dir_all(run).unwrap();
    // The state is written to a pipe that nobody reads, so the process never ends by saving it.
    let pipe = run.join("last.safetensors.part");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut process = start(command);
    process.wait_for("its settings", || run.join("config.json").exists());
    let (begin, mut sent) = (Instant::now(), 0);
    // More than two, because the system may deliver two that come close together as one.
    while !process.has_ended() {
        assert!(begin.elapsed() < Duration::from_secs(120), "SIG{name} does not end the process");
        signal(&process.0, name);
        sent += 1;
        sleep(Duration::from_millis(20));
    }
    assert_eq!(process.0.wait().unwrap().code(), Some(status), "{}, SIG{name}", run.display());
    assert!(sent >= 2, "the first SIG{name} ended the process in {}", run.display());
}

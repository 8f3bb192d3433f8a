//! What stops the example `finetune` halfway: Ctrl-C, a full disk. The state is saved, and the way to go on printed.
#![cfg(unix)]

#[path = "../examples/finetune/shell.rs"]
mod shell;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples").join("finetune")
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let binary = binary();
    let mut child = Command::new(&binary)
        .current_dir(folder.path())
        .args(["--out", "a run", "--force"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The configuration is written right before the first step.
    let begin = Instant::now();
    while !folder.path().join("a run/pretrain/config.json").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it began");
        assert!(begin.elapsed() < Duration::from_secs(120), "the run did not start");
        sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("finetune --out 'a run' --resume"), "{message}");
    assert!(folder.path().join("a run/pretrain/last.safetensors").exists(), "the state was saved");

    let again = Command::new(&binary).current_dir(folder.path()).args(["--out", "a run"]).output().unwrap();
    let message = String::from_utf8_lossy(&again.stderr);
    assert!(message.contains("holds another run") && message.contains("--force"), "{message}");
}

#[test]
fn a_full_disk_is_told_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = ["--limit", "40", "--epochs", "1", "--method", "at", "--report-images", "0", "--out"];
    let run = |out: &str, resume: &[&str]| {
        let output = Command::new(binary())
            .current_dir(folder.path())
            .args(tiny)
            .arg(out)
            .args(resume)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(folder.path().join(out).join("at/model.safetensors")).unwrap()
    };
    // Files of at most 8 blocks (512 bytes each, 1024 in some shells): the configuration fits and no weights do. With the
    // signal ignored, the write fails with an error of the system.
    let full = Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
        .arg(binary())
        .args(tiny)
        .arg("full")
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&full.stderr);
    assert_eq!(full.status.code(), Some(1), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    for part in ["cannot write full/pretrain/best.safetensors", "File too large", "make room", "resume"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let left = std::fs::read_dir(folder.path().join("full/pretrain")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["config.json"], "no temporary file is left");
    assert!(
        run("full", &["--resume"]) == run("straight", &[]),
        "the weights differ from an uninterrupted run's"
    );
}

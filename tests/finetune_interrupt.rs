//! Ctrl-C on the example `finetune`: the step is finished, the state saved and the command to go on printed.
#![cfg(unix)]

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().unwrap().parent().unwrap().join("examples").join("finetune");
    let mut child = Command::new(&binary)
        .current_dir(folder.path())
        .args(["--out", "run", "--force"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The configuration is written right before the first step.
    let begin = Instant::now();
    while !folder.path().join("run/pretrain/config.json").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it began");
        assert!(begin.elapsed() < Duration::from_secs(120), "the run did not start");
        sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("finetune --out run --resume"), "{message}");
    assert!(folder.path().join("run/pretrain/last.safetensors").exists(), "the state was saved");

    let again = Command::new(&binary).current_dir(folder.path()).args(["--out", "run"]).output().unwrap();
    let message = String::from_utf8_lossy(&again.stderr);
    assert!(message.contains("holds another run") && message.contains("--force"), "{message}");
}

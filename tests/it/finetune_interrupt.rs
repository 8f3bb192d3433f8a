//! What stops the example `finetune` halfway: Ctrl-C, SIGTERM, a full disk. The state is saved, and the command that resumes is printed.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use twins_testing::{example, repository};

fn binary() -> PathBuf {
    example("finetune")
}

/// The weights of the main job.
fn weights() -> [String; 2] {
    let path = repository().join("examples/studies/letters.safetensors");
    ["--weights".to_owned(), path.to_str().unwrap().to_owned()]
}

#[test]
fn ctrl_c_and_sigterm_save_and_say_how_to_resume() {
    for signal in ["-INT", "-TERM"] {
        saves_and_says_how_to_resume(signal);
    }
}

fn saves_and_says_how_to_resume(signal: &str) {
    let folder = tempfile::tempdir().unwrap();
    let binary = binary();
    // Of an earlier run, which this one replaces.
    let results = folder.path().join("a run/report.json");
    std::fs::create_dir(folder.path().join("a run")).unwrap();
    std::fs::write(&results, "{}").unwrap();
    let mut child = Command::new(&binary)
        .current_dir(folder.path())
        .args(["--limit", "40", "--epochs", "1000"])
        .args(weights())
        .args(["--out", "a run", "--force"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The configuration is written right before the first step.
    let begin = Instant::now();
    while !folder.path().join("a run/twins-at/config.json").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it began");
        assert!(begin.elapsed() < Duration::from_secs(120), "the run did not start");
        sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{signal}: {message}");
    assert!(message.contains("letters.safetensors --out 'a run' --resume"), "{signal}: {message}");
    assert!(folder.path().join("a run/twins-at/last.safetensors").exists(), "the state was saved");
    assert!(!results.exists(), "{signal}: the results of the earlier run are left");

    let again = Command::new(&binary)
        .current_dir(folder.path())
        .args(weights())
        .args(["--out", "a run"])
        .output()
        .unwrap();
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
            .args(weights())
            .args(tiny)
            .arg(out)
            .args(resume)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(folder.path().join(out).join("at/model.safetensors")).unwrap()
    };
    // Files of at most 256 blocks (512 bytes each, 1024 in some shells): settings and the report fit and no weights do. With the
    // signal ignored, the write fails with an error of the system.
    let full = Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\""])
        .arg(binary())
        .args(weights())
        .args(tiny)
        .arg("full")
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&full.stderr);
    assert_eq!(full.status.code(), Some(1), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    for part in ["cannot write full/at/last.safetensors", "File too large", "make room", "resume"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let left = std::fs::read_dir(folder.path().join("full/at")).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let expected = ["config.json", "experiment.json", "lock", "metrics.jsonl", "result.json"];
    assert_eq!(left, expected, "no temporary file is left");
    assert!(
        run("full", &["--resume"]) == run("straight", &[]),
        "the weights differ from an uninterrupted run's"
    );
}

#[test]
fn a_run_is_resumed_with_more_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let fixed = ["--limit", "40", "--method", "at", "--report-images", "0", "--out", "run"];
    let finetune = |arguments: &[&str]| {
        let output = Command::new(binary())
            .current_dir(folder.path())
            .args(weights())
            .args(fixed)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    finetune(&["--epochs", "2"]);
    let shown = finetune(&["--resume", "--epochs", "3", "--show-config"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!(shown["training"]["schedule"]["milestones"], serde_json::json!([1]), "those of two epochs");
    // The second time, the run has as many epochs already.
    for _ in 0..2 {
        finetune(&["--resume", "--epochs", "3"]);
        let metrics = std::fs::read_to_string(folder.path().join("run/at/metrics.jsonl")).unwrap();
        assert_eq!(metrics.lines().count(), 3);
        for file in ["run/at/config.json", "run/report.json"] {
            let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let config = json.get("config").unwrap_or(&json);
            assert_eq!(config["epochs"], 3, "{file}");
            // Those of two epochs; of three they would be [1, 2].
            assert_eq!(config["schedule"]["milestones"], serde_json::json!([1]), "{file}");
        }
    }
}

#[test]
fn a_folder_with_a_run_is_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let finetune = |arguments: &[&str]| -> Output {
        let fixed = ["--limit", "40", "--epochs", "1", "--report-images", "0", "--out", "run"];
        let mut command = Command::new(binary());
        command.current_dir(folder.path()).args(weights()).args(fixed).args(arguments).output().unwrap()
    };
    let succeed = |arguments: &[&str]| {
        let output = finetune(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let read = |file: &str| std::fs::read(folder.path().join("run").join(file)).unwrap();
    succeed(&["--method", "at"]);
    let kept = ["report.json", "report.html", "at/experiment.json", "at/model.safetensors"];
    let before = kept.map(read);
    for (arguments, parts) in [
        (
            &["--method", "standard"][..],
            ["run holds another run (at/result.json)", "delete it with --force", "another --out"],
        ),
        (&["--method", "at"], ["run/at holds another run", "--resume", "another --out"]),
        (
            &["--method", "standard", "--resume"],
            ["run holds another run (at/result.json)", "--force", "another --out"],
        ),
        // A setting of the training, which the method's own folder knows.
        (&["--method", "at", "--resume", "--lr", "0.5"], ["run/at holds a run", "learning_rate", "0.5"]),
    ] {
        let output = finetune(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(kept.map(read) == before, "{arguments:?} left the run alone");
        assert!(!folder.path().join("run/standard").exists());
    }
    // Nothing is deleted for a run that cannot begin.
    let output = finetune(&["--method", "standard", "--force", "--data", "folder:missing"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(kept.map(read) == before && !folder.path().join("run/standard").exists());
    // Something that no run leaves stays.
    let note = Path::new("run/twins-at/note.txt");
    std::fs::create_dir_all(folder.path().join("run/twins-at")).unwrap();
    std::fs::write(folder.path().join(note), "mine").unwrap();
    // So does a model of another program, whose files have the names of a run's.
    let foreign = ["config.json", "model.safetensors"].map(|file| folder.path().join("run/bert").join(file));
    std::fs::create_dir(folder.path().join("run/bert")).unwrap();
    foreign.iter().for_each(|file| std::fs::write(file, "mine").unwrap());
    succeed(&["--method", "standard", "--force"]);
    assert!(!folder.path().join("run/at").exists(), "the old run is deleted");
    assert!(folder.path().join(note).exists());
    assert!(foreign.iter().all(|file| file.exists()));

    // A run whose state is gone is repeated.
    succeed(&["--force"]);
    let result =
        |report: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&report).unwrap()["result"].clone();
    let whole = result(read("report.json"));
    for file in [
        "report.json",
        "twins-at/last.safetensors",
        "twins-at/previous.safetensors",
        "twins-at/best.safetensors",
    ] {
        let _ = std::fs::remove_file(folder.path().join("run").join(file));
    }
    succeed(&["--resume"]);
    assert_eq!(result(read("report.json"))["test"], whole["test"], "the same weights");
}

#[test]
fn fine_tuning_needs_weights() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(binary()).current_dir(folder.path()).args(["--out", "run"]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["starts from trained weights", "--weights FILE", "twins train"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!folder.path().join("run").exists());
}

#[test]
fn a_run_that_could_not_begin_leaves_no_directory() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("one/apple")).unwrap();
    for (data, parts) in [
        ("folder:missing", ["cannot read missing", "check that it exists"]),
        ("folder:one", ["one", "apple"]),
    ] {
        let mut command = Command::new(binary());
        let output =
            command.current_dir(folder.path()).args(weights()).args(["--data", data]).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(std::fs::read_dir(folder.path().join("runs")).unwrap().count(), 0, "{data}");
    }
}

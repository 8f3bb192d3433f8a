//! `twins study` and `twins report`: shards, kills and resumptions lead to the same table.
#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::files::check_files;

const KILLS: usize = 10;

/// The smallest study: each training has two epochs of a few steps.
const STUDY: &str = r#"
name = "Small"
seeds = [0, 1]
baseline = "at"

[experiment]
model.arch = "tiny-resnet"
data.train_images = "40"
data.test_images = "20"
epochs = 2
batch_size = 10
checkpoint_steps = 1
adversary.steps = 1
validation.protocol.steps = 1
validation.fraction = 0.25
evaluation.steps = 1
evaluation.last = "measured"
evaluation.report_images = 0
compute.threads = 1
compute.memory_check = false

[trials]
learning_rates = [0.01, 0.05]
seed = 100
epochs = 1

[[arms]]
name = "at"
method = "at"

[[arms]]
name = "twins-at"
method = "twins-at"

[[arms]]
name = "scaled"
method = "at"
settings_of = { arm = "at", learning_rate_factor = 2.0 }
"#;

fn twins(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twins"));
    command.current_dir(folder).args(arguments);
    command
}

fn study(folder: &Path, out: &str, more: &[&str]) -> Command {
    let mut command = twins(folder, &["study", "study.toml", "--out", out]);
    command.args(more);
    command
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", error_of(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn read(folder: &Path, file: &str) -> String {
    std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// One undivided study, with which divided and interrupted ones are compared: a test of its own for each would train it anew.
#[test]
fn shards_and_kills_lead_to_the_same_table() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("study.toml"), STUDY).unwrap();
    let begin = Instant::now();
    let said = succeed(study(folder, "whole", &[]));
    let duration = begin.elapsed();
    let expected = read(folder, "whole/study-results.json");
    let results: serde_json::Value = serde_json::from_str(&expected).unwrap();
    assert_eq!(results["missing"], serde_json::json!([]));
    for part in [
        "4 of 4 trials",
        "run 6 of 6: scaled, seed 1",
        "2 of 2",
        "Differences to at in percentage points",
        "last: clean (20 images)",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let table = table(&said);
    let html = read(folder, "whole/study.html");
    for part in ["Small", "Effective learning rate: mean over the seeds", "Dot chart of percentage points"] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let run = &results["arms"][0]["runs"][0];
    assert!(run["last_scores"][1]["total"] == 20, "{run}");
    let metrics = read(folder, "whole/runs/at/seed-0/metrics.jsonl");
    let epochs = run["epochs"].as_array().unwrap();
    assert_eq!(epochs.len(), metrics.lines().count(), "{run}");
    for (epoch, line) in epochs.iter().zip(metrics.lines()) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for (name, value) in epoch.as_object().unwrap() {
            match name.as_str() {
                "effective_learning_rate" => assert!(value.as_f64().unwrap() > 0.0, "{epoch}"),
                _ => assert_eq!(value, &line[name], "{name}"),
            }
        }
    }

    let again = succeed(study(folder, "whole", &[]));
    assert!(again.contains("6 of 6 runs, 6 finished before") && !again.contains("epoch"), "{again}");
    assert_eq!(self::table(&again), table);

    shards_of_their_own(folder, &expected, table);
    shards_of_one_directory(folder, &expected);
    kills(folder, &expected, duration);
    another_study(folder);
}

/// The last table of an output.
fn table(said: &str) -> &str {
    let begin = said.rfind("Small\n\narm").unwrap_or_else(|| panic!("no table: {said}"));
    said[begin..].split("\nresults and").next().unwrap().split("\nmerged/").next().unwrap().trim()
}

fn shards_of_their_own(folder: &Path, expected: &str, table: &str) {
    let shards = [("one", "1/2"), ("two", "2/2")];
    let failed = study(folder, "one", &["--shard", "1/2"]).output().unwrap();
    let message = error_of(&failed);
    assert_eq!(failed.status.code(), Some(1), "{message}");
    for part in [
        "3 jobs were left out",
        "trials/at/lr-0.05, trials/twins-at/lr-0.05",
        "--phase trials",
        "copy their trials",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    for (out, shard) in shards {
        succeed(study(folder, out, &["--shard", shard, "--phase", "trials"]));
    }
    for (from, to) in [("one", "two"), ("two", "one")] {
        let copy = ["-c", "cp -rn \"$0\"/trials \"$1\"", from, to];
        assert!(Command::new("sh").current_dir(folder).args(copy).status().unwrap().success());
    }
    let both = shards.map(|(out, shard)| {
        study(folder, out, &["--shard", shard, "--phase", "runs"]).stdout(Stdio::null()).spawn().unwrap()
    });
    for mut process in both {
        assert!(process.wait().unwrap().success());
    }
    let said = succeed(twins(folder, &["report", "one", "two", "--out", "merged/study.html"]));
    assert_eq!(self::table(&said), table);
    assert_eq!(read(folder, "merged/study-results.json"), expected);
    assert_eq!(read(folder, "merged/study.html").matches("<h1>").count(), 1);
    let runs = twins(folder, &["report", "one/runs/at", "whole/runs/at/seed-1", "--out", "runs.html"]);
    assert!(succeed(runs).contains("runs.html is written"));
}

/// Two processes at the same time, through both phases.
fn shards_of_one_directory(folder: &Path, expected: &str) {
    for phase in ["trials", "runs"] {
        let both = ["1/2", "2/2"].map(|shard| {
            study(folder, "shared", &["--shard", shard, "--phase", phase])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        });
        for mut process in both {
            assert!(process.wait().unwrap().success());
        }
    }
    assert_eq!(read(folder, "shared/study-results.json"), expected);
}

fn kills(folder: &Path, expected: &str, duration: Duration) {
    let mut draws = ChaCha8Rng::seed_from_u64(15);
    // So that all kills fall into the study on a machine of any speed: a process that is killed loses a step at most.
    let longest = (duration / KILLS as u32 * 3 / 2).as_millis().max(100) as u64;
    let start = || -> Child {
        study(folder, "killed", &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut kills = 0;
    while kills < KILLS {
        let mut process = start();
        sleep(Duration::from_millis(draws.random_range(10..longest)));
        match process.try_wait().unwrap() {
            // It finished before: begin anew.
            Some(status) => {
                assert!(status.success());
                assert_eq!(read(folder, "killed/study-results.json"), expected);
                std::fs::remove_dir_all(folder.join("killed")).unwrap();
            }
            None => {
                // SIGKILL.
                process.kill().unwrap();
                process.wait().unwrap();
                kills += 1;
            }
        }
    }
    succeed(study(folder, "killed", &[]));
    assert_eq!(read(folder, "killed/study-results.json"), expected);
    // The accuracies of a few images could agree by chance.
    for run in
        ["at/seed-0", "at/seed-1", "twins-at/seed-0", "twins-at/seed-1", "scaled/seed-0", "scaled/seed-1"]
    {
        let model = |out: &str| {
            std::fs::read(folder.join(out).join("runs").join(run).join("model.safetensors")).unwrap()
        };
        assert!(model("killed") == model("whole"), "{run}: the weights differ");
    }
}

#[test]
fn trainings_that_diverge_are_recorded_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("study.toml"), STUDY.replace("[0.01, 0.05]", "[0.01, 1e30]")).unwrap();
    let said = succeed(study(folder, "some", &[]));
    assert!(table(&said).contains("twins-at  0.01           2 of 2"), "{said}");
    let note = "of at diverged: the loss is NaN";
    assert!(said.contains(note), "{said}");
    let again = succeed(study(folder, "some", &[]));
    assert!(again.contains("4 of 4 trials, 4 finished before") && again.contains(note), "{again}");
    let names = check_files(&folder.join("some"));
    for name in ["diverged.json", "metrics.jsonl", "result.json", "study.json", "study-results.json"] {
        assert!(names.contains(name), "{name}: {names:?}");
    }

    std::fs::write(folder.join("study.toml"), STUDY.replace("[0.01, 0.05]", "[1e29, 1e30]")).unwrap();
    let output = study(folder, "all", &[]).output().unwrap();
    let message = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("6 jobs were left out: every trial of \"at\" diverged; add an arm"),
        "{message}"
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("at has no runs, because every trial diverged"), "{said}");
}

#[test]
fn ctrl_c_saves_and_says_how_to_resume() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("study.toml"), STUDY.replace("epochs = 2", "epochs = 200")).unwrap();
    succeed(study(folder, "a study", &["--phase", "trials"]));
    let mut command = study(folder, "a study", &["--phase", "runs"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // The configuration is written right before the first step.
    let begin = Instant::now();
    while !folder.join("a study/runs/at/seed-0/config.json").exists() {
        assert!(begin.elapsed() < Duration::from_secs(60), "the run did not start");
        sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["stopped, with the state saved", "study.toml --out 'a study' --phase runs"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(folder.join("a study/runs/at/seed-0/last.safetensors").exists());
    assert!(read(folder, "a study/study-results.json").contains("\"missing\""));
}

fn another_study(folder: &Path) {
    let fail = |arguments: &[&str], parts: &[&str]| {
        let output = twins(folder, arguments).output().unwrap();
        let message = error_of(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
    };
    let whole = ["study", "study.toml", "--out", "whole"];
    fail(
        &[&whole[..], &["--set", "epochs=3"]].concat(),
        &["whole holds another study", "arm \"at\": run.training.epochs was 2 and is now 3"],
    );
    std::fs::write(folder.join("study.toml"), STUDY.replace("seeds = [0, 1]", "seeds = [0, 2, 1]")).unwrap();
    let said = succeed(study(folder, "whole", &[]));
    assert!(said.contains("9 of 9 runs, 6 finished before") && said.contains("3 of 3"), "{said}");
    fail(&["report", "whole", "one"], &["hold different studies", "seeds was [0,2,1] and is now [0,1]"]);
    std::fs::create_dir(folder.join("empty")).unwrap();
    fail(&["report", "empty"], &["empty holds no run"]);
    fail(&["study", "missing.toml", "--out", "x"], &["cannot read missing.toml"]);
    let usage = twins(folder, &["study", "study.toml", "--out", "x", "--shard", "3/2"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    assert!(error_of(&usage).contains("\"3/2\" is no shard"), "{}", error_of(&usage));
}

//! A training that is killed at random moments and resumed each time ends with the bits of an uninterrupted one.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::{Net, Squares, config, tensors, trainer};
use twins_train::{ExistingRun, Method, TrainConfig};

const RUN: &str = "TWINS_TRAIN_KILLED_RUN";
const KILLS: usize = 20;

fn long_config() -> TrainConfig {
    config(Method::TwinsAt).with_epochs(40).with_ema_decay(0.95).with_checkpoint_steps(1)
}

fn train(run: &Path) {
    trainer(long_config())
        .with_run_directory(run, ExistingRun::Resume)
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .unwrap();
}

/// The process that is killed; without the variable it has nothing to do.
#[test]
fn child() {
    if let Some(run) = std::env::var_os(RUN) {
        train(Path::new(&run));
    }
}

#[test]
fn killed_runs_end_bit_identical() {
    let folder = tempfile::tempdir().unwrap();
    let (straight, killed) = (folder.path().join("straight"), folder.path().join("killed"));
    train(&straight);

    let child = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact"])
            .env(RUN, &killed)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut draws = ChaCha8Rng::seed_from_u64(20);
    let mut kills = 0;
    while kills < KILLS {
        let mut process = child();
        sleep(Duration::from_millis(draws.random_range(5..400)));
        if process.try_wait().unwrap().is_none() {
            kills += 1;
        }
        // SIGKILL on Unix.
        process.kill().unwrap();
        process.wait().unwrap();
        if kills < KILLS && finished(&killed) {
            // Killed too late: once more from the beginning.
            std::fs::remove_dir_all(&killed).unwrap();
        }
    }
    assert!(child().wait().unwrap().success());

    for name in ["last.safetensors", "best.safetensors"] {
        let [a, b] = [&straight, &killed].map(|run| std::fs::read(run.join(name)).unwrap());
        let [a, b] = [&a, &b].map(|bytes| tensors(bytes));
        assert!(a == b, "{name} differs");
    }
    let [a, b] = [&straight, &killed].map(|run| {
        let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let epochs: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["epoch"].as_u64().unwrap())
            .collect();
        epochs
    });
    assert_eq!(a, b);
}

fn finished(run: &Path) -> bool {
    std::fs::read_to_string(run.join("metrics.jsonl")).is_ok_and(|text| text.lines().count() == 40)
}

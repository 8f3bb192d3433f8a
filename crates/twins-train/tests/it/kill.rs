//! A training that is killed at random moments and resumed each time ends with the bits of an uninterrupted one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use twins_train::{ExistingRun, Method, TrainConfig};
use twins_train_testing::{Net, Squares, config, tensors, trainer};

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
    let start = Instant::now();
    train(&straight);
    // So that several kills fall into a run on a machine of any speed.
    let longest = (start.elapsed() / 3).as_millis().max(20) as u64;

    let child = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["kill::child", "--exact"])
            .env(RUN, &killed)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut draws = ChaCha8Rng::seed_from_u64(20);
    let (mut kills, mut of_this_run) = (0, 0);
    let mut of_each_run = Vec::new();
    while kills < KILLS {
        let mut process = child();
        sleep(Duration::from_millis(draws.random_range(5..longest)));
        if process.try_wait().unwrap().is_none() {
            (kills, of_this_run) = (kills + 1, of_this_run + 1);
        }
        // SIGKILL on Unix.
        process.kill().unwrap();
        process.wait().unwrap();
        if finished(&killed) || kills == KILLS {
            // What is left of it, be it the last checkpoint only.
            assert!(child().wait().unwrap().success());
            assert_same(&straight, &killed);
            std::fs::remove_dir_all(&killed).unwrap();
            of_each_run.push(std::mem::take(&mut of_this_run));
        }
    }
    assert!(of_each_run.iter().any(|kills| *kills > 1), "no run was killed twice: {of_each_run:?}");
}

/// Every tensor of both checkpoints to the bit, and a line of metrics for each epoch.
fn assert_same(straight: &Path, killed: &Path) {
    for name in ["last.safetensors", "best.safetensors"] {
        let [a, b] = [straight, killed].map(|run| std::fs::read(run.join(name)).unwrap());
        let [a, b] = [&a, &b].map(|bytes| tensors(bytes));
        assert!(!a.is_empty() && a == b, "{name} differs");
    }
    let [a, b] = [straight, killed].map(|run| {
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

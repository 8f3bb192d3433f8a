//! A disk that is full in the middle of a training: the error says so, nothing that was saved is lost, and the run goes
//! on to the bits of an uninterrupted one.
//!
//! A limit on the size of files stands for the full disk: with its signal ignored, a write beyond it fails with an error
//! of the system, halfway through the file.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use twins_train::{Ended, EpochMetrics, ExistingRun, Method, TrainConfig, TrainError, Trained};
use twins_train_testing::{Net, Squares, config, tensors, trainer};

const RUN: &str = "TWINS_TRAIN_FULL_DISK_RUN";
/// So many that the metrics outgrow the checkpoints.
const EPOCHS: usize = 40;
const STOP_AFTER: &str = "TWINS_TRAIN_FULL_DISK_STOP_AFTER";

fn with_checkpoints() -> TrainConfig {
    config(Method::TwinsAt).with_epochs(EPOCHS).with_ema_decay(0.95).with_checkpoint_steps(2)
}

fn train(run: &Path, stop_after: usize) -> Result<Trained<Net>, TrainError> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = stop.clone();
    trainer(with_checkpoints())
        .with_run_directory(run, ExistingRun::Resume)
        .with_stop_flag(stop)
        .with_observer(move |metrics: &EpochMetrics| {
            raised.store(metrics.epoch >= stop_after, Ordering::Relaxed)
        })
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
}

/// The process with the limit, as a program of one's own would end; without the variable it has nothing to do.
#[test]
fn child() {
    let Some(run) = std::env::var_os(RUN) else { return };
    let stop_after = std::env::var(STOP_AFTER).unwrap().parse().unwrap();
    match train(Path::new(&run), stop_after) {
        Ok(_) => std::process::exit(0),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(3);
        }
    }
}

/// Runs the child with files of at most so many blocks of 512 bytes.
fn child_with(blocks: Option<u64>, run: &Path, stop_after: usize) -> Output {
    let limit = blocks.map_or("unlimited".to_owned(), |blocks| blocks.to_string());
    Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", &limit])
        .arg(std::env::current_exe().unwrap())
        // The output goes to pipes, which the limit does not concern.
        .args(["full_disk::child", "--exact", "--nocapture"])
        .env(RUN, run)
        .env(STOP_AFTER, stop_after.to_string())
        .output()
        .unwrap()
}

fn files(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(run).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn nothing_is_lost_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (straight, full) = (folder.path().join("straight"), folder.path().join("full"));
    assert_eq!(train(&straight, usize::MAX).unwrap().ended, Ended::Completed);

    // Room for two epochs, then none: not even half a checkpoint fits, be a block 512 bytes or, in some shells, 1024.
    assert!(child_with(None, &full, 2).status.success());
    let saved = files(&full);
    let blocks = saved["last.safetensors"].len() as u64 / 512 / 4;
    assert!(blocks > 0);
    let failed = child_with(Some(blocks), &full, usize::MAX);
    let message = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(3), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    for part in ["cannot write", "last.safetensors:", "File too large", "make room", "resume"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(files(&full) == saved, "files were lost, altered or left over: {:?}", files(&full).keys());

    // With room again it goes on.
    assert!(child_with(None, &full, usize::MAX).status.success());
    let [a, b] = [&straight, &full].map(|run| files(run));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for name in ["last.safetensors", "best.safetensors"] {
        assert!(tensors(&a[name]) == tensors(&b[name]), "{name} differs");
    }
}

/// The metrics are the one file that grows in place: of a line that does not fit, no half may stay in the way.
#[test]
fn half_a_line_of_metrics_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let (straight, full) = (folder.path().join("straight"), folder.path().join("full"));
    assert_eq!(train(&straight, usize::MAX).unwrap().ended, Ended::Completed);
    let size = |name: &str| fs::metadata(straight.join(name)).unwrap().len();
    let (checkpoint, metrics) = (size("last.safetensors"), size("metrics.jsonl"));
    assert!(
        metrics > 3 * checkpoint,
        "the metrics must outgrow the checkpoints here: {metrics}, {checkpoint}"
    );

    // The checkpoints fit and the metrics do not, whether a block has 512 bytes or, in some shells, 1024.
    let failed = child_with(Some(checkpoint.div_ceil(512) + 1), &full, usize::MAX);
    let message = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(3), "{message}");
    assert!(message.contains("metrics.jsonl: File too large"), "{message}");
    assert!(!fs::read_to_string(full.join("metrics.jsonl")).unwrap().ends_with('\n'), "half a line");

    assert!(child_with(None, &full, usize::MAX).status.success());
    let [a, b] = [&straight, &full].map(|run| files(run));
    let epochs = |bytes: &[u8]| -> Vec<u64> {
        let lines = std::str::from_utf8(bytes).unwrap().lines();
        lines
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["epoch"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(epochs(&a["metrics.jsonl"]), epochs(&b["metrics.jsonl"]));
    for name in ["last.safetensors", "best.safetensors"] {
        assert!(tensors(&a[name]) == tensors(&b[name]), "{name} differs");
    }
}

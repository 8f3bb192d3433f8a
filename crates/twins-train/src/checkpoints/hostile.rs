//! Damaged files of a run and damaged settings: each is read or refused with a message, within the limits of its size.

use std::collections::BTreeMap;
use std::fs;

use burn::tensor::TensorData;
use twins_testing::{Counting, check_message, each_damaged};

use super::checkpoint::Checkpoint;
use super::run_directory::{ExistingRun, RunDirectory};
use super::state::{Best, BestSource, State};
use crate::config::{ConfigFile, TrainConfig};
use crate::error::TrainError;
use crate::metrics::Accuracy;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn checkpoint() -> Checkpoint {
    let mut checkpoint = Checkpoint::default();
    checkpoint.metadata.insert("state".into(), State::new(7).to_json());
    let tensors = BTreeMap::from([
        ("fc.weight".into(), TensorData::from([[1.0f32, -0.0], [f32::MIN_POSITIVE, 1e-45]])),
        ("steps".into(), TensorData::from([7i64])),
    ]);
    checkpoint.insert("model", &tensors);
    checkpoint
}

/// Checks the message with which a run refuses a file.
fn check_problem(problem: String) {
    check_message(&TrainError::Checkpoint { path: "last.safetensors".into(), problem }.to_string());
}

#[test]
fn damaged_checkpoints_are_refused_or_the_same() {
    let files = [("checkpoint", checkpoint().to_bytes().unwrap())];
    each_damaged(&files, 3000, |_, bytes| match Checkpoint::from_bytes(bytes) {
        // White space that pads the header may change.
        Ok(read) => assert_eq!(read, checkpoint()),
        Err(problem) => check_problem(problem),
    });
}

#[test]
fn damaged_states_are_refused_or_read() {
    let accuracy = |correct| Accuracy { correct, total: 20 };
    let best = Best { epoch: 3, source: BestSource::Ema, clean: accuracy(9), robust: accuracy(5) };
    let mut state = State::new(u64::MAX);
    (state.epoch, state.step, state.steps, state.best) = (4, 2, 50, Some(best));
    let files = [("state", State::new(0).to_json().into_bytes()), ("state", state.to_json().into_bytes())];
    let mut read = 0;
    each_damaged(&files, 3000, |_, bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match State::from_json(text) {
            Ok(state) => {
                assert_eq!(State::from_json(&state.to_json()).unwrap(), state);
                read += 1;
            }
            Err(problem) => check_problem(problem),
        }
    });
    assert!(read > 0, "some numbers may have any value");
}

#[test]
fn damaged_metrics_are_left_out_and_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::open(folder.path(), ExistingRun::Refuse).unwrap();
    let line = r#"{"epoch":1,"steps":5,"learning_rate":0.01,"loss":2.0,"loss_frozen":null,"loss_adaptive":2.0,"train_adversarial_accuracy":{"correct":3,"total":20},"train_clean_accuracy":null,"validation_clean_accuracy":null,"validation_robust_accuracy":null,"ema_accuracy":null,"gradient_norm":1.0,"layers":{},"skipped_batches":0,"images_per_second":100.0,"seconds":2.0,"seconds_waiting":0.5}"#;
    let whole = format!("{line}\n{}\n", line.replace("\"epoch\":1", "\"epoch\":2"));
    let path = folder.path().join("metrics.jsonl");
    fs::write(&path, &whole).unwrap();
    assert_eq!(run.rewind_metrics(2).unwrap().len(), 2, "the lines of this test are metrics");
    each_damaged(&[("metrics", whole.into_bytes())], 2000, |_, bytes| {
        fs::write(&path, bytes).unwrap();
        match run.rewind_metrics(2) {
            Ok(kept) => {
                assert!(kept.iter().all(|metrics| metrics.epoch <= 2));
                let written = fs::read_to_string(&path).unwrap();
                assert_eq!(written.lines().count(), kept.len());
            }
            // It is not text.
            Err(error) => check_message(&error.to_string()),
        }
    });
}

/// Settings of every kind: numbers, texts, lists, tables of alternatives.
const SETTINGS: &str = r#"
method = "trades"
epochs = 5
ema_decay = 0.99
freeze = ["conv1"]
validation = "none"
[schedule]
kind = "multi-step"
milestones = [2, 4]
gamma = 0.1
[adversary]
steps = 7
epsilon = "8/255"
[optimiser]
kind = "adamw"
betas = [0.9, 0.99]
[tuning]
kind = "probe-then-full"
probe_epochs = 2
"#;

#[test]
fn damaged_settings_are_refused_or_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = ConfigFile::from_toml("a.toml", SETTINGS).unwrap().apply(TrainConfig::default()).unwrap();
    let json = serde_json::to_string_pretty(&config).unwrap();
    let files = [("run.toml", SETTINGS.as_bytes().to_vec()), ("run.json", json.into_bytes())];
    let mut read = 0;
    each_damaged(&files, 4000, |name, bytes| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let applied = ConfigFile::read(&path).and_then(|file| file.apply(TrainConfig::default()));
        match applied.and_then(|config| config.validate().map(|()| config)) {
            Ok(config) => {
                let again = serde_json::to_value(&config).unwrap();
                assert_eq!(serde_json::from_value::<TrainConfig>(again).unwrap(), config);
                read += 1;
            }
            Err(error) => check_message(&error.to_string()),
        }
    });
    assert!(read > 0);
}

#[test]
fn an_error_in_the_middle_of_a_character_has_its_line() {
    for text in
        ["epochs = 1\nä = ", "epochs = 1\n\"\u{1F408}\u{0}\" = 1", "epochs = 1\na = \"\\ä\"", "epochs = 1\n€"]
    {
        let message = ConfigFile::from_toml("a.toml", text).unwrap_err().to_string();
        check_message(&message);
        assert!(message.contains("line 2: "), "{message}");
    }
}

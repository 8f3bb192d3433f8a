//! Faults: kills, signals, two processes at once, full disks, damaged files, data that changes, clocks that jump.
//! docs/reliability.md says what is guaranteed; `.ci/faults` repeats it with more kills.

mod clock;
mod data;
mod disk;
mod files;
mod kills;
mod processes;
mod signals;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use burn_twins::models::{Architecture, ModelCard, ModelConfig, save_model};
use serde_json::Value;
use twins_testing::{example, repository};

/// A command of `twins`, without the first word, in a folder.
fn twins(name: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(example(name));
    command.current_dir(folder).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Options with which a fine-tuning takes about a second.
const QUICK: [&str; 6] = ["--limit", "40", "--steps", "1", "--set", "evaluation.steps=2"];

/// A fine-tuning on the built-in data. Its run is in the folder `out/at`.
fn finetune(folder: &Path, out: &str, more: &[&str]) -> Command {
    finetune_with("at", folder, out, more)
}

fn finetune_with(method: &str, folder: &Path, out: &str, more: &[&str]) -> Command {
    let letters = repository().join("examples/studies/letters.safetensors");
    let fixed = ["--weights", letters.to_str().unwrap(), "--out", out, "--method", method, "--threads", "1"];
    let usual =
        ["--batch-size", "10", "--report-images", "0", "--no-memory-check", "--set", "checkpoint_steps=1"];
    twins("finetune", folder, &[&fixed[..], &usual, more].concat())
}

/// An untrained network for ten classes in the file `net.safetensors`.
fn save_net(folder: &Path) {
    let net = ModelConfig::new(Architecture::TinyResNet, 10).with_seed(1).init(&Device::flex()).unwrap();
    let card = ModelCard::new(&net, (0..10).map(|class| class.to_string()).collect()).unwrap();
    save_model(folder.join("net.safetensors"), &net, &card).unwrap();
}

/// An evaluation of [`save_net`] on the built-in data. The net is right about one image in ten, which withstands the small epsilon.
fn evaluate(folder: &Path, json: &str, more: &[&str]) -> Command {
    let fixed = ["--weights", "net.safetensors", "--data", "builtin", "--json", json, "--threads", "1"];
    let quick = ["--epsilon", "0.0005", "--batch-size", "5", "--no-memory-check"];
    twins("evaluate", folder, &[&fixed[..], &quick, more].concat())
}

/// A study of two arms with one seed, in the file `study.toml`.
fn save_study(folder: &Path) {
    const STUDY: &str = r#"
name = "Small"
seeds = [0]
baseline = "at"

[experiment]
model.arch = "tiny-resnet"
data.train_images = "60"
data.test_images = "40"
epochs = 3
batch_size = 10
checkpoint_steps = 1
adversary.steps = 2
validation.protocol.steps = 2
validation.fraction = 0.2
evaluation.steps = 5
evaluation.report_images = 0
compute.threads = 1
compute.memory_check = false

[[arms]]
name = "at"
method = "at"
learning_rate = 0.02

[[arms]]
name = "twins-at"
method = "twins-at"
learning_rate = 0.02
"#;
    std::fs::write(folder.join("study.toml"), STUDY).unwrap();
}

fn study(folder: &Path, out: &str, more: &[&str]) -> Command {
    twins("study", folder, &[&["study.toml", "--out", out][..], more].concat())
}

/// What a [`finetune`] with `--log jsonl` leaves, without what depends on the time.
fn training_result(folder: &Path, out: &str) -> BTreeMap<String, Vec<u8>> {
    let run = folder.join(out).join("at");
    let lines = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let epochs: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps = std::fs::read_to_string(run.join("log/steps.jsonl")).unwrap();
    BTreeMap::from([
        ("model.safetensors".to_owned(), bytes_of(&run.join("model.safetensors"))),
        ("best.safetensors".to_owned(), bytes_of(&run.join("best.safetensors"))),
        ("result.json".to_owned(), text(json(run.join("result.json")))),
        ("report.json".to_owned(), text(json(folder.join(out).join("report.json")))),
        ("metrics.jsonl".to_owned(), text(Value::from(epochs))),
        ("number of logged steps".to_owned(), steps.lines().count().to_string().into_bytes()),
    ])
}

/// All files below a folder, with their paths in it.
fn all_files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        if path.is_dir() {
            found.extend(all_files(&path).into_iter().map(|file| name.join(file)));
        } else {
            found.insert(name);
        }
    }
    found
}

fn bytes_of(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(value: Value) -> Vec<u8> {
    timeless(value).to_string().into_bytes()
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeed(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", error_of(&output));
    output
}

/// The error of a command that ends with exit status 1, which is on the last line.
fn fail(mut command: Command) -> String {
    let output = command.output().unwrap();
    let message = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{command:?}: {message}");
    let last = message.lines().next_back().unwrap_or_default();
    assert!(last.starts_with("error: ") && !message.contains("panicked"), "{command:?}: {message}");
    last.to_owned()
}

/// A process that is killed when it is dropped, so that none survives a test that fails.
struct Running(Child);

impl Running {
    fn id(&self) -> u32 {
        self.0.id()
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for something that the process does.
    fn wait_for(&mut self, what: &str, is_done: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_done() {
            assert!(!self.has_ended(), "the process ended before {what}");
            assert!(begin.elapsed() < Duration::from_secs(120), "no {what} after two minutes");
            sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command whose output nobody reads.
fn start(mut command: Command) -> Running {
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Sends a signal, such as `TERM`, to a process that has not been waited for.
fn signal(process: &Child, name: &str) {
    let arguments = [format!("-{name}"), process.id().to_string()];
    assert!(Command::new("kill").args(arguments).status().unwrap().success());
}

fn json(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Removes everything that depends on the time or on an interruption, and checks that no time is negative.
fn timeless(mut value: Value) -> Value {
    remove_times(&mut value);
    value
}

fn remove_times(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|key, value| {
                let is_time =
                    key.contains("second") || ["waiting_fraction", "started"].contains(&key.as_str());
                assert!(
                    !is_time || value.is_null() || value.as_f64().is_some_and(|time| time >= 0.0),
                    "{key}: {value}"
                );
                // The command has the name of the directory. The relative update is computed in the last step of an epoch, and not
                // kept if the epoch is interrupted right after it.
                !is_time && !["command", "relative_update"].contains(&key.as_str())
            });
            entries.values_mut().for_each(remove_times);
        }
        Value::Array(values) => values.iter_mut().for_each(remove_times),
        _ => (),
    }
}

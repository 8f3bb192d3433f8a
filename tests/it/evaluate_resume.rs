//! The example `evaluate`, killed with SIGKILL at several moments and resumed each time, ends with the report of an
//! uninterrupted run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use burn_twins::attack::{Journal, SampleSource};
use burn_twins::data::{DataSource, Part, Task};
use burn_twins::models::{Architecture, ModelCard, ModelConfig, Wings, export_weights, save_model};
use serde_json::Value;
use twins_testing::example;

/// Cargo builds the examples along with the tests, next to their folder.
fn evaluate(folder: &Path, more: &[&str]) -> Command {
    let binary = example("evaluate");
    let mut command = Command::new(binary);
    command.current_dir(folder).args(["--arch", "tiny-resnet", "--data", "builtin"]);
    if !more.contains(&"--attack") {
        command.args(["--attack", "autoattack"]);
    }
    // A net without training is right about one image in ten: about 20 are attacked, five at a time, and withstand.
    command.args(["--batch-size", "5", "--epsilon", "0.0005", "--queries", "150"]);
    command.args(["--steps", "4", "--threads", "2"]).args(more);
    if !more.contains(&"--limit") {
        command.args(["--limit", "200"]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(folder: &Path, more: &[&str]) -> Child {
    evaluate(folder, more).spawn().unwrap()
}

fn finish(folder: &Path, more: &[&str]) -> Output {
    evaluate(folder, more).output().unwrap()
}

/// Two nets of the same kind, and the first in another file, which gives the same logits.
fn save_nets(folder: &Path) {
    for (file, seed) in [("net.safetensors", 1), ("other.safetensors", 2)] {
        let config = ModelConfig::new(Architecture::TinyResNet, 10).with_seed(seed);
        let net = config.init(&Device::flex()).unwrap();
        let card = ModelCard::new(&net, (0..10).map(|class| class.to_string()).collect()).unwrap();
        save_model(folder.join(file), &net, &card).unwrap();
        if seed == 1 {
            export_weights(folder.join("exported.safetensors"), &net, Wings::Adaptive).unwrap();
        }
    }
}

/// The report without its times.
fn report(path: PathBuf) -> Value {
    let mut report: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for stage in report["stages"].as_array_mut().unwrap() {
        stage.as_object_mut().unwrap().remove("seconds").unwrap();
    }
    report
}

/// Records in the journal: its beginning, and outcomes.
fn records(folder: &Path) -> usize {
    let journal = Journal::read(folder.join("killed.journal")).unwrap();
    journal.map_or(0, |journal| 1 + journal.outcomes().len())
}

/// The values of a NumPy file of 200 images with three channels of 32 by 32.
fn saved_images(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    assert!(
        bytes.starts_with(b"\x93NUMPY\x01\x00") && header.contains("'shape': (200, 3, 32, 32)"),
        "{header}"
    );
    assert_eq!(bytes.len(), 128 + 4 * 200 * 3 * 32 * 32);
    bytes[128..].as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

#[test]
fn a_killed_evaluation_ends_with_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_nets(folder);
    let begin = Instant::now();
    let straight = finish(
        folder,
        &["--weights", "net.safetensors", "--json", "straight.json", "--save-adversarial", "straight.npy"],
    );
    assert!(straight.status.success(), "{}", String::from_utf8_lossy(&straight.stderr));
    let whole = begin.elapsed();
    let expected = report(folder.join("straight.json"));
    let attacked = expected["clean"]["correct"].as_u64().unwrap() as usize;
    assert!(attacked >= 10, "{attacked}");

    let killed = ["--weights", "net.safetensors", "--json", "killed.json", "--resume"];
    // Before there is a journal, and then whenever it has grown so far: a first batch, then stage after stage.
    let mut kills = 0;
    let mut child = start(folder, &killed);
    sleep(Duration::from_millis(1));
    child.kill().unwrap();
    child.wait().unwrap();
    // Each time with other devices.
    let moments = [1, 2, attacked / 2, attacked + 3, 2 * attacked, 3 * attacked + 1];
    let devices = [["--devices", "1"], ["--devices", "2"], ["--device", "cpu,cpu,cpu"]];
    for (lines, devices) in moments.into_iter().zip(devices.into_iter().cycle()) {
        let mut child = start(folder, &[&killed[..], &devices].concat());
        while records(folder) < lines && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        kills += usize::from(child.try_wait().unwrap().is_none());
        // SIGKILL on Unix.
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(records(folder) >= lines, "the journal has lost records");
    }
    assert!(kills >= 5, "only {kills} were killed in time");

    // Anything else than the same evaluation is refused, and leaves the journal alone.
    let before = std::fs::read(folder.join("killed.journal")).unwrap();
    let refused = |more: &[&str], expected: &str| {
        let output = finish(folder, more);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{more:?}: {message}");
        assert!(message.contains(expected) && !message.contains("panicked"), "{more:?}: {message}");
        assert_eq!(std::fs::read(folder.join("killed.journal")).unwrap(), before);
    };
    let resume = ["--json", "killed.json", "--resume"];
    refused(&[&["--weights", "other.safetensors"], &resume[..]].concat(), "another model");
    refused(&[&["--weights", "exported.safetensors"], &resume[..]].concat(), "another model");
    refused(&[&killed[..], &["--attack", "clean"]].concat(), "leave it out with clean");
    refused(&[&killed[..], &["--attack", "pgd"]].concat(), "pgd has no queries");
    refused(&[&killed[..], &["--attack", "pgd,square"]].concat(), "other settings or other data");
    refused(&[&killed[..], &["--attack", "autoattack,pgd"]].concat(), "give one of them alone");
    refused(&[&killed[..], &["--coverage", "every-attack"]].concat(), "other settings or other data");
    refused(&[&killed[..], &["--seed", "1"]].concat(), "other settings or other data");
    refused(&[&killed[..], &["--norm", "l2"]].concat(), "other settings or other data");
    refused(&[&killed[..], &["--limit", "199"]].concat(), "other settings or other data");
    refused(&[&killed[..], &["--attack-precision", "bf16"]].concat(), "other settings or other data");
    refused(&[&killed[..], &["--devices", "0"]].concat(), "give at least 1");
    refused(
        &[&killed[..], &["--devices", "2", "--device", "wgpu"]].concat(),
        "name every device, as in --device",
    );
    refused(&[&killed[..], &["--device", "cpu,gpu"]].concat(), "unknown device `gpu`");

    // A journal of the version before is refused, and so is a damaged one.
    let refused_journal = |bytes: &[u8], expected: &str| {
        std::fs::write(folder.join("killed.journal"), bytes).unwrap();
        let output = finish(folder, &killed);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{message}");
        assert!(message.contains(expected) && !message.contains("panicked"), "{message}");
    };
    refused_journal(b"{\"weights\":\"0\",\"state\":{}}\n", "another version of this library wrote");
    let mut damaged = before.clone();
    damaged[before.len() / 2] ^= 1;
    refused_journal(&damaged, "is damaged");

    // A record that the kill tore apart is as good as none.
    let torn = before.len() - 7;
    std::fs::write(folder.join("killed.journal"), &before[..torn]).unwrap();
    let begin = Instant::now();
    let last =
        finish(folder, &[&killed[..], &["--devices", "2", "--save-adversarial", "killed.npy"]].concat());
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    println!("whole run {whole:?}, rest {:?}, {kills} kills, {attacked} attacked", begin.elapsed());
    let mut found = report(folder.join("killed.json"));
    // The second device's copy of the model is checked on one image, and in a gradient pass over four.
    assert_eq!(found["config"]["devices"].take(), 2);
    found["config"]["devices"] = Value::from(1);
    found["forwards"] = Value::from(found["forwards"].as_u64().unwrap() - 5);
    found["backwards"] = Value::from(found["backwards"].as_u64().unwrap() - 4);
    assert_eq!(found.to_string(), expected.to_string());
    assert!(!folder.join("killed.journal").exists());
    // The images, too, of which those of broken samples differ from the clean ones.
    let (straight, killed) =
        (saved_images(&folder.join("straight.npy")), saved_images(&folder.join("killed.npy")));
    assert!(straight == killed);
    let source = DataSource::Builtin(Task::Target).open(Part::Test).unwrap();
    let clean = burn_twins::DatasetSource::new(source).unwrap();
    for (image, sample) in straight.chunks(3 * 32 * 32).zip(expected["samples"].as_array().unwrap()) {
        // The place in the whole test part, of which `--limit` drew 200 images.
        let index = sample["index"].as_u64().unwrap() as usize;
        let by = sample["broken_by"].as_str();
        assert_eq!(image != clean.load(index).unwrap(), by.is_some_and(|by| by != "clean"), "{index}");
    }

    // The comparison above can fail.
    found["robust"]["correct"] = Value::from(0);
    assert_ne!(found, expected);
}

/// The attacks of `rand` expect a randomised model, whose logits cannot tell it from another one.
#[test]
fn a_journal_of_rand_is_that_of_one_normalisation() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_nets(folder);
    let rand = ["--weights", "net.safetensors", "--aa-version", "rand", "--json", "killed.json"];
    let mut killed = start(folder, &rand);
    while records(folder) == 0 && killed.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(folder.join("killed.journal").exists(), "the evaluation ended before it was killed");
    let other = finish(
        folder,
        &[&rand[..], &["--resume", "--normalisation", "0.25,0.25,0.25/0.125,0.125,0.125"]].concat(),
    );
    let message = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!other.status.success() && message.contains("is of another model"), "{message}");
    let same = finish(folder, &[&rand[..], &["--resume"]].concat());
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stderr));
}

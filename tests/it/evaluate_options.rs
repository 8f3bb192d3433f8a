//! The options of the example `evaluate`: lists of attacks and epsilons, coverage, classes, and what is refused.

use std::path::Path;
use std::process::{Command, Output};

use burn::tensor::Device;
use burn_twins::models::{Architecture, ModelCard, ModelConfig, save_model};
use serde_json::Value;
use twins_testing::example;

fn evaluate(folder: &Path, more: &[&str]) -> Output {
    let binary = example("evaluate");
    let fixed = ["--weights", "net.safetensors", "--arch", "tiny-resnet", "--data", "builtin"];
    let mut command = Command::new(binary);
    command.current_dir(folder).args(fixed).args(["--limit", "60", "--threads", "2"]).args(more);
    command.output().unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let net = ModelConfig::new(Architecture::TinyResNet, 10).with_seed(1).init(&Device::flex()).unwrap();
    let card = ModelCard::new(&net, (0..10).map(|class| class.to_string()).collect()).unwrap();
    save_model(folder.path().join("net.safetensors"), &net, &card).unwrap();
    folder
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn attacks_and_epsilons_are_lists() {
    let folder = folder();
    let here = folder.path();
    let list = ["--attack", "fgsm,pgd", "--epsilon", "4/255,0.0001", "--steps", "3"];
    let more = ["--coverage", "every-attack", "--per-class", "--devices", "2", "--json", "list.json"];
    let text = said(&evaluate(here, &[&list[..], &more].concat()));
    assert!(text.contains("pgd-3 (Linf 0.0001)") && text.contains("by itself"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("class ")), "{text}");
    let report = json(here.join("list.json"));
    let names: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["attack"].as_str().unwrap()).collect();
    // The smallest epsilon first.
    assert_eq!(
        names,
        ["fgsm (Linf 0.0001)", "pgd-3 (Linf 0.0001)", "fgsm (Linf 4/255)", "pgd-3 (Linf 4/255)"]
    );
    let robust = |place: usize| report["threats"][place]["robust"]["correct"].as_u64().unwrap();
    let clean = report["clean"]["correct"].as_u64().unwrap();
    assert!(clean > 0 && robust(1) < robust(0) && robust(0) <= clean, "{report}");
    assert_eq!(report["robust"]["correct"], robust(1));
    for stage in report["stages"].as_array().unwrap() {
        assert_eq!(stage["attacked"], clean);
        assert!(stage["own_robust"].as_u64().unwrap() >= stage["robust"].as_u64().unwrap(), "{stage}");
    }
    let config = &report["config"];
    assert_eq!(
        (&config["attack"], &config["epsilons"][1]),
        (&"fgsm,pgd".into(), &f64::from(0.0001_f32).into())
    );
    assert!(report["classes"].as_array().unwrap().len() == 10 && !here.join("list.journal").exists());
}

#[test]
fn a_single_attack_keeps_its_fields_and_saves_its_images() {
    let folder = folder();
    let here = folder.path();
    let more = ["--epsilon", "1/255", "--steps", "2", "--json", "pgd.json", "--save-adversarial", "pgd.npy"];
    let text = said(&evaluate(here, &more));
    assert!(text.contains("Linf 1/255") && text.contains("pgd-2"), "{text}");
    let report = json(here.join("pgd.json"));
    for field in ["clean", "stages", "robust", "interval", "config", "verification", "samples"] {
        assert!(!report[field].is_null(), "{field}: {report}");
    }
    for field in ["attack", "robust", "seconds", "forwards", "backwards", "verification"] {
        assert!(!report["stages"][0][field].is_null(), "{field}: {report}");
    }
    let config = &report["config"];
    assert_eq!(
        (&config["attack"], &config["steps"], &config["restarts"]),
        (&"pgd".into(), &2.into(), &1.into())
    );
    assert!(config["epsilon"].is_f64() && config["step_size"].is_f64() && config["random_start"] == false);
    let bytes = std::fs::metadata(here.join("pgd.npy")).unwrap().len();
    assert_eq!(bytes, 128 + 4 * 60 * 3 * 32 * 32);

    let text = said(&evaluate(here, &["--attack", "clean", "--json", "clean.json"]));
    assert!(text.contains("clean accuracy") && text.contains("of 60 samples"), "{text}");
    let clean = json(here.join("clean.json"));
    assert_eq!((&clean["clean"], &clean["robust"]), (&report["clean"], &report["clean"]));
    assert_eq!(clean["stages"], serde_json::json!([]));
}

#[test]
fn the_accuracies_of_many_classes_need_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let names: Vec<String> = (0..21).map(|class| format!("class-{class:02}")).collect();
    for name in &names {
        let class = here.join("images").join(name);
        std::fs::create_dir_all(&class).unwrap();
        image::RgbImage::new(32, 32).save(class.join("1.png")).unwrap();
    }
    let net = ModelConfig::new(Architecture::TinyResNet, 21).init(&Device::flex()).unwrap();
    save_model(here.join("net.safetensors"), &net, &ModelCard::new(&net, names).unwrap()).unwrap();
    let evaluate = |more: &[&str]| {
        let fixed = ["--weights", "net.safetensors", "--data", "folder:images"];
        let clean = ["--attack", "clean", "--per-class"];
        let mut command = Command::new(example("evaluate"));
        command.current_dir(here).args(fixed).args(clean).args(more).output().unwrap()
    };
    let refused = evaluate(&[]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && message.contains("the images have 21; give --json"), "{message}");
    let text = said(&evaluate(&["--json", "many.json"]));
    assert!(text.contains("21 classes: the accuracy of each is in the file of --json"), "{text}");
    assert_eq!(json(here.join("many.json"))["classes"].as_array().unwrap().len(), 21);
    let text = said(&evaluate(&["--limit", "20"]));
    assert!(text.lines().any(|line| line.starts_with("class ")), "{text}");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    // Files of other programs.
    let others = [("Cargo.lock", "version = 4\n"), ("2024.journal", "2024-01-01 bread\n")];
    for (name, text) in others {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    for (more, expected) in [
        (&["--json", "Cargo.json"][..], "Cargo.lock is no lock of an evaluation"),
        (&["--json", "2024.json"], "2024.journal is no journal of an evaluation"),
        (&["--attack", "clean", "--json", "a.json", "--resume"], "leave it out with clean"),
        (&["--attack", "clean", "--devices", "2"], "with clean"),
        (&["--attack", "clean", "--coverage", "every-attack"], "--coverage is an option of attacks"),
        (&["--attack", "clean", "--fresh-draws", "9"], "--fresh-draws is an option of attacks"),
        (&["--attack", "clean", "--attack-precision", "bf16"], "--attack-precision is an option of attacks"),
        (&["--attack", "clean", "--steps", "3"], "--attack clean runs no attack and has no steps"),
        (&["--attack", "clean", "--random-start"], "has no random start"),
        (
            &["--attack", "pgd,square", "--aa-version", "plus"],
            "--aa-version is a setting of --attack autoattack",
        ),
        (&["--attack", "clean,pgd"], "give one of them alone"),
        (&["--attack", "autoattack,pgd"], "give one of them alone"),
        (&["--attack", "pgd", "--queries", "3"], "pgd has no queries"),
        (&["--attack", "fgsm,mi-fgsm", "--step-size", "0.1"], "fgsm has no step size"),
        (&["--attack", "autoattack", "--step-size", "0.1"], "autoattack has no step size"),
        (&["--attack", "autoattack", "--random-start"], "autoattack has no random start"),
        (&["--attack", "pgq"], "autoattack"),
        (&["--epsilon", "0.1,2/255,0.1"], "--epsilon has 0.1 twice"),
        (&["--epsilon", "0"], "epsilon is 0"),
        (&["--coverage", "all"], "survivors, every-attack"),
        (&["--fresh-draws", "0"], "0 fresh draws"),
        (&["--batch-size", "0"], "--batch-size is 0"),
        (&["--json", "."], "--json . is a directory"),
        (&["--json", "a.json", "--save-adversarial", "."], "--save-adversarial . is a directory"),
        (&["--json", "./net.safetensors"], "--json ./net.safetensors would replace the weights"),
        (
            &["--json", "a.json", "--save-adversarial", "sub/../a.json"],
            "is the report of --json, its lock or its journal",
        ),
        (
            &["--json", "a.json", "--save-adversarial", "a.journal"],
            "is the report of --json, its lock or its journal",
        ),
    ] {
        let output = evaluate(folder.path(), more);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(expected), "{more:?}: {message}");
    }
    for (name, text) in others {
        assert_eq!(std::fs::read_to_string(folder.path().join(name)).unwrap(), text, "{name}");
    }
}

/// Before the weights are read.
#[cfg(unix)]
#[test]
fn a_device_or_pipe_is_no_place_for_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for more in [&["--json", "socket"][..], &["--json", "a.json", "--save-adversarial", "socket"]] {
        let output = evaluate(folder.path(), more);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && message.contains("cannot write socket: it is a device"),
            "{message}"
        );
    }
    assert!(!socket.is_file());
}

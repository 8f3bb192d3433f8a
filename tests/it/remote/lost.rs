//! Servers that are killed, or stopped so that they hold their connections open without responding, while a program uses them. The program
//! ends with an error and exit status 1, and resumes when the server is back.
#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use burn_twins::DeviceChoice;
use burn_twins::attack::Journal;
use burn_twins::models::{Architecture, ModelCard, ModelConfig, save_model};
use burn_twins_tests::Server;
use serde_json::Value;
use twins_testing::{example, repository};

/// docs/remote.md states 30 s for Iroh and a minute for WebSocket. The rest is for a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
enum Accident {
    Killed,
    Stopped,
}

impl Accident {
    fn befalls(self, server: &mut Server) {
        match self {
            Self::Killed => server.kill(),
            Self::Stopped => server.signal("STOP"),
        }
    }

    fn ends_for(self, server: &mut Server) {
        match self {
            Self::Killed => server.restart(),
            Self::Stopped => server.signal("CONT"),
        }
    }
}

/// Waits until a condition holds while the process runs.
fn wait_until(process: &mut Child, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(process.try_wait().unwrap().is_none(), "it ended too early");
        assert!(begin.elapsed() < LIMIT, "it did not get so far");
        sleep(Duration::from_millis(5));
    }
}

/// The error of a process whose server is lost.
fn error(mut process: Child) -> String {
    let begin = Instant::now();
    while process.try_wait().unwrap().is_none() {
        if begin.elapsed() > LIMIT {
            process.kill().unwrap();
            panic!("it hangs");
        }
        sleep(Duration::from_millis(20));
    }
    println!("it ended after {:?}", begin.elapsed());
    let Output { status, stderr, .. } = process.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(1), "{message}");
    message.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{message}")).to_owned()
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An evaluation of a net without training, which is right about one image in ten.
fn evaluate(folder: &Path, device: &DeviceChoice, json: &str) -> Command {
    let mut command = Command::new(example("evaluate"));
    command.current_dir(folder).args(["--weights", "net.safetensors", "--data", "builtin", "--limit", "100"]);
    command.args(["--attack", "autoattack", "--epsilon", "0.0005", "--steps", "4", "--queries", "100"]);
    command.args(["--batch-size", "5", "--threads", "2", "--device", &device.to_string(), "--json", json]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The report without its times.
fn report(path: &Path) -> Value {
    let mut report: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for stage in report["stages"].as_array_mut().unwrap() {
        stage.as_object_mut().unwrap().remove("seconds").unwrap();
    }
    report
}

fn save_net(folder: &Path) {
    let net = ModelConfig::new(Architecture::TinyResNet, 10).with_seed(1).init(&Device::flex()).unwrap();
    let card = ModelCard::new(&net, (0..10).map(|class| class.to_string()).collect()).unwrap();
    save_model(folder.join("net.safetensors"), &net, &card).unwrap();
}

fn evaluation_loses(mut server: Server, accident: Accident) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    let device = server.choice();
    succeed(&mut evaluate(folder, &device, "straight.json"));

    let mut process = evaluate(folder, &device, "lost.json").spawn().unwrap();
    let outcomes = || {
        let journal = Journal::read(folder.join("lost.journal")).unwrap();
        journal.map_or(0, |journal| journal.outcomes().len())
    };
    wait_until(&mut process, || outcomes() > 0);
    accident.befalls(&mut server);
    let kept = outcomes();
    let error = error(process);
    println!("{device}, {accident:?}: {error}");
    assert!(error.contains("server") && error.contains("resume"), "{error}");
    assert!(outcomes() >= kept && !folder.join("lost.json").exists());

    accident.ends_for(&mut server);
    succeed(evaluate(folder, &device, "lost.json").arg("--resume"));
    assert_eq!(report(&folder.join("lost.json")), report(&folder.join("straight.json")));
}

#[test]
fn an_evaluation_ends_with_an_error_and_resumes() {
    thread::scope(|scope| {
        for accident in [Accident::Killed, Accident::Stopped] {
            scope.spawn(move || evaluation_loses(Server::websocket(), accident));
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                evaluation_loses(Server::iroh(folder.path(), ""), accident);
            });
        }
    });
}

fn training_loses(mut server: Server, accident: Accident) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let weights = repository().join("examples/studies/letters.safetensors");
    let device = server.choice().to_string();
    let finetune = || {
        let mut command = Command::new(example("finetune"));
        command.current_dir(folder).arg("--weights").arg(&weights);
        command.args([
            "--limit",
            "40",
            "--epochs",
            "8",
            "--method",
            "at",
            "--report-images",
            "0",
            "--out",
            "run",
        ]);
        command.args(["--device", &device]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let mut process = finetune().spawn().unwrap();
    // Written at the end of the first of eight epochs.
    let checkpoint = folder.join("run/at/last.safetensors");
    wait_until(&mut process, || checkpoint.exists());
    accident.befalls(&mut server);
    let error = error(process);
    println!("{device}, {accident:?}: {error}");
    assert!(error.contains("server") && error.contains("resume"), "{error}");
    assert!(checkpoint.exists() && !folder.join("run/report.json").exists());
    let metrics = || std::fs::read_to_string(folder.join("run/at/metrics.jsonl")).unwrap();
    let before = metrics();
    assert!(before.lines().count() >= 1, "{before}");

    accident.ends_for(&mut server);
    succeed(finetune().arg("--resume"));
    let after = metrics();
    assert_eq!(after.lines().count(), 8);
    // A line has the duration of its epoch, so that of an epoch that is trained again is another one.
    assert!(after.starts_with(&before), "epochs were lost or trained again: {before}{after}");
}

#[test]
fn a_training_ends_with_an_error_and_resumes() {
    thread::scope(|scope| {
        scope.spawn(|| training_loses(Server::websocket(), Accident::Stopped));
        scope.spawn(|| training_loses(Server::websocket(), Accident::Killed));
        scope.spawn(|| {
            let folder = tempfile::tempdir().unwrap();
            training_loses(Server::iroh(folder.path(), ""), Accident::Stopped);
        });
    });
}

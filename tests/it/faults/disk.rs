//! A disk that is full at any write, an output that cannot be printed, and directories that cannot be written to.
//!
//! A limit on the size of files stands for the full disk: with its signal ignored, a write beyond it fails with an error of the system.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{
    QUICK, error_of, evaluate, fail, finetune, json, save_net, save_study, study, succeed, timeless,
};

/// The command with files of at most so many blocks, which have 512 bytes, or 1024 in some shells.
fn limited(command: Command, blocks: usize) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", &blocks.to_string()]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// Everything below a folder whose name shows that its writing was not finished.
fn parts(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(parts(&path));
        } else if path.extension().is_some_and(|extension| extension == "part") {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_training_is_resumed_after_a_full_disk_at_any_write() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let run = |more: &[&str]| finetune(folder, "run", &[&QUICK[..], &["--epochs", "2"], more].concat());
    succeed(finetune(folder, "straight", &[&QUICK[..], &["--epochs", "2"]].concat()));
    let model = |out: &str| fs::read(folder.join(out).join("at/model.safetensors")).unwrap();
    let sizes = ["at/experiment.json", "at/config.json", "at/last.safetensors", "report.html", "report.json"]
        .map(|file| fs::metadata(folder.join("straight").join(file)).unwrap().len() as usize);
    // No file fits, then files up to half of each of these sizes, or a quarter with blocks of 512 bytes.
    let limits: BTreeSet<usize> = [0].into_iter().chain(sizes.map(|size| size / 2 / 1024)).collect();
    for blocks in limits {
        let message = fail(limited(run(&["--resume"]), blocks));
        assert!(
            message.contains("cannot write run/") && message.contains("File too large"),
            "{blocks}: {message}"
        );
        let directory = folder.join("run");
        assert!(!directory.exists() || parts(&directory).is_empty(), "{blocks}: {:?}", parts(&directory));
        succeed(run(&["--resume"]));
        assert!(model("run") == model("straight"), "{blocks}: the weights differ");
        fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn an_evaluation_is_resumed_after_a_full_disk_at_any_write() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    let attack = ["--attack", "pgd", "--steps", "2", "--limit", "200"];
    let run = |json: &str, more: &[&str]| evaluate(folder, json, &[&attack[..], more].concat());
    succeed(run("straight.json", &[]));
    let expected = timeless(json(folder.join("straight.json")));
    let report = fs::metadata(folder.join("straight.json")).unwrap().len() as usize;
    // Not even the clean logits of the journal, which take 8 KB; then the whole journal, but not the report of five times that size.
    for (blocks, file) in [(0, "report.journal"), (1, "report.journal"), (report / 1024 - 1, "report.json")] {
        let message = fail(limited(run("report.json", &[]), blocks));
        assert!(message.contains(file) && message.contains("File too large"), "{blocks}: {message}");
        assert!(!folder.join("report.json").exists() && parts(folder).is_empty(), "{blocks}");
        assert!(folder.join("report.journal").exists(), "{blocks}");
        succeed(run("report.json", &["--resume"]));
        assert_eq!(timeless(json(folder.join("report.json"))), expected, "{blocks}");
        fs::remove_file(folder.join("report.json")).unwrap();
    }
    // The images are larger than the report and the journal together.
    let images = ["--save-adversarial", "images.npy"];
    let message = fail(limited(run("report.json", &images), 2 * report.div_ceil(512)));
    assert!(message.contains("images.npy") && message.contains("File too large"), "{message}");
    assert_eq!(parts(folder), Vec::<String>::new());
    succeed(run("report.json", &[&images[..], &["--resume"]].concat()));
    assert!(folder.join("images.npy").exists());
}

#[test]
fn a_study_is_resumed_after_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_study(folder);
    succeed(study(folder, "straight", &[]));
    // The settings do not fit, then the checkpoints do not.
    for (blocks, file) in [(1, "full/study.json"), (64, "full/runs/at/seed-0/last.safetensors")] {
        let message = fail(limited(study(folder, "full", &[]), blocks));
        assert!(message.contains(file) && message.contains("File too large"), "{blocks}: {message}");
        assert_eq!(parts(&folder.join("full")), Vec::<String>::new());
    }
    succeed(study(folder, "full", &[]));
    let results = |out: &str| fs::read(folder.join(out).join("study-results.json")).unwrap();
    assert!(results("full") == results("straight"));
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_printed_does_not_end_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let pgd = ["--attack", "pgd", "--steps", "1", "--limit", "20"];
    let mut command = evaluate(folder, "report.json", &pgd);
    command.stdout(full());
    let message = fail(command);
    assert!(message.contains("cannot write to the standard output: No space left"), "{message}");
    assert_eq!(json(folder.join("report.json"))["clean"]["total"], 20);

    let mut command = finetune(folder, "run", &[&QUICK[..], &["--epochs", "1"]].concat());
    command.stdout(full()).stderr(full());
    assert_eq!(command.output().unwrap().status.code(), Some(1));
    assert!(folder.join("run/report.json").exists(), "the work was done");

    // A reader that closes the pipe, as `head` does, has what it wanted.
    let mut command = finetune(folder, "piped", &[&QUICK[..], &["--epochs", "1"]].concat());
    let mut process = command.spawn().unwrap();
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", error_of(&output));
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    save_study(folder);
    fs::write(folder.join("file"), "no directory").unwrap();
    let pgd = ["--attack", "pgd", "--steps", "1", "--limit", "20"];
    let everywhere = |directory: &str| {
        [
            fail(finetune(folder, &format!("{directory}/run"), &[&QUICK[..], &["--epochs", "1"]].concat())),
            fail(evaluate(folder, &format!("{directory}/report.json"), &pgd)),
            fail(evaluate(
                folder,
                &format!("{directory}/report.json"),
                &["--attack", "clean", "--limit", "20"],
            )),
            fail(study(folder, &format!("{directory}/study"), &[])),
            fail(evaluate(
                folder,
                "images.json",
                &[&pgd[..], &["--save-adversarial", &format!("{directory}/images/adversarial.npy")]].concat(),
            )),
        ]
    };
    // Below a regular file, where not even root can create anything.
    for message in everywhere("file") {
        assert!(message.contains("file/") && message.contains("Not a directory"), "{message}");
    }
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "no directory");
    assert!(!folder.join("images.journal").exists(), "refused after the attacks");

    let locked = folder.join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    if File::create(locked.join("probe")).is_ok() {
        println!("skipped: this user may write to every directory, as root may");
        return;
    }
    for message in everywhere("locked") {
        assert!(message.contains("locked/") && message.contains("Permission denied"), "{message}");
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
}

//! A disk that is full at any write, an output that cannot be printed, and directories that cannot be written to.
//!
//! A limit on the size of files stands for the full disk: with its signal ignored, a write beyond it fails with an error of the system.
//! A small file that follows a larger one never exceeds such a limit. For these, obstacles are put in the place of single files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{
    QUICK, all_files, error_of, evaluate, fail, finetune, json, save_net, save_study, study, succeed,
    timeless, training_result, twins,
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
fn parts(folder: &Path) -> Vec<PathBuf> {
    let is_part = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "part");
    all_files(folder).into_iter().filter(is_part).collect()
}

/// Locks and files that grow, which are not written under a temporary name first. The files in `log` grow too.
const IN_PLACE: [&str; 5] = ["lock", "study.lock", "report.lock", "report.journal", "metrics.jsonl"];

/// The last checkpoint is renamed to it, which needs no space.
const RENAMED: &str = "previous.safetensors";

/// An obstacle that makes the writing of a file fail.
enum Obstacle {
    /// A directory that has the temporary name of the file.
    Directory(PathBuf),
    /// A link with the name of the file, to a folder that does not exist.
    Link(PathBuf),
}

impl Obstacle {
    fn of(file: &Path) -> Self {
        let name = file.file_name().unwrap().to_str().unwrap();
        if IN_PLACE.contains(&name) || file.parent().unwrap().ends_with("log") {
            Self::Link(file.to_owned())
        } else {
            Self::Directory(file.with_file_name(format!("{name}.part")))
        }
    }

    fn create(&self) {
        let (Self::Directory(path) | Self::Link(path)) = self;
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match self {
            Self::Directory(path) => fs::create_dir(path).unwrap(),
            Self::Link(path) => symlink("nowhere/file", path).unwrap(),
        }
    }

    fn remove(&self) {
        match self {
            Self::Directory(path) => fs::remove_dir(path).unwrap(),
            Self::Link(path) => fs::remove_file(path).unwrap(),
        }
    }
}

/// Puts an obstacle in the place of each of the files, which are below `folder/out`, and repeats the command. It must fail at one of the
/// files each time and name it, whose obstacle is then removed. Without obstacles, it must succeed.
fn fail_at_each<'a>(
    folder: &Path,
    out: &str,
    files: impl IntoIterator<Item = &'a PathBuf>,
    command: impl Fn() -> Command,
) {
    let mut blocked: BTreeSet<PathBuf> = files.into_iter().map(|file| Path::new(out).join(file)).collect();
    assert!(!blocked.is_empty());
    for file in &blocked {
        Obstacle::of(&folder.join(file)).create();
    }
    while !blocked.is_empty() {
        println!("files that cannot be written: {blocked:?}");
        let message = fail(command());
        let is_named = |file: &&PathBuf| message.contains(file.to_str().unwrap());
        let named: Vec<PathBuf> = blocked.iter().filter(is_named).cloned().collect();
        let [file] = &named[..] else { panic!("{message}: names {named:?}") };
        Obstacle::of(&folder.join(file)).remove();
        blocked.remove(file);
    }
    succeed(command());
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
    assert_eq!(parts(folder), Vec::<PathBuf>::new());
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
        assert_eq!(parts(&folder.join("full")), Vec::<PathBuf>::new());
    }
    succeed(study(folder, "full", &[]));
    let results = |out: &str| fs::read(folder.join(out).join("study-results.json")).unwrap();
    assert!(results("full") == results("straight"));
}

#[test]
fn a_training_is_resumed_after_every_file_that_could_not_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let logged = ["--epochs", "1", "--log", "jsonl,csv,tensorboard", "--resume"];
    let run = |out: &str| finetune(folder, out, &[&QUICK[..], &logged].concat());
    succeed(run("straight"));
    let written = all_files(&folder.join("straight"));
    fail_at_each(folder, "run", written.iter().filter(|file| !file.ends_with(RENAMED)), || run("run"));
    assert_eq!(all_files(&folder.join("run")), written);
    for (name, bytes) in training_result(folder, "straight") {
        assert!(training_result(folder, "run")[&name] == bytes, "{name}");
    }
}

#[test]
fn an_evaluation_is_resumed_after_every_file_that_could_not_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    for out in ["straight", "run"] {
        fs::create_dir(folder.join(out)).unwrap();
    }
    let run = |out: &str| {
        let images = format!("{out}/images.npy");
        let attack = ["--attack", "pgd", "--steps", "2", "--limit", "100", "--resume"];
        evaluate(
            folder,
            &format!("{out}/report.json"),
            &[&attack[..], &["--save-adversarial", &images]].concat(),
        )
    };
    succeed(run("straight"));
    let written = all_files(&folder.join("straight"));
    // These are removed at the end.
    let temporary = ["report.journal", "report.lock"].map(PathBuf::from);
    fail_at_each(folder, "run", written.iter().chain(&temporary), || run("run"));
    assert_eq!(all_files(&folder.join("run")), written);
    let report = |out: &str| timeless(json(folder.join(out).join("report.json")));
    assert_eq!(report("run"), report("straight"));
    let images = |out: &str| fs::read(folder.join(out).join("images.npy")).unwrap();
    assert!(images("run") == images("straight"));
}

#[test]
fn a_converted_model_is_written_after_it_could_not_be() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    let model = |out: &str| format!("{out}/model.safetensors");
    for format in ["model", "pytorch", "both-wings"] {
        let run = |out: &str| {
            twins("convert", folder, &["net.safetensors", "--format", format, "--out", &model(out)])
        };
        succeed(run("straight"));
        let written = all_files(&folder.join("straight"));
        fail_at_each(folder, "run", &written, || run("run"));
        assert_eq!(all_files(&folder.join("run")), written);
        let bytes = |out: &str| fs::read(folder.join(model(out))).unwrap();
        assert!(bytes("run") == bytes("straight"), "{format}");
    }
}

#[test]
fn a_study_is_resumed_after_every_file_that_could_not_be_written() {
    // A run whose result is written has finished. The study does not write its report again, but `twins report` does.
    const REPORT_OF_RUN: &str = "report.html";
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_study(folder);
    let study_file = folder.join("study.toml");
    let diverging = "\n[[arms]]\nname = \"diverging\"\nmethod = \"at\"\nlearning_rate = 1e30\n";
    fs::write(&study_file, fs::read_to_string(&study_file).unwrap() + diverging).unwrap();
    let run = |out: &str| study(folder, out, &["--set", "epochs=1"]);
    succeed(run("straight"));
    let written = all_files(&folder.join("straight"));
    assert!(written.iter().any(|file| file.ends_with("diverged.json")), "{written:?}");
    // The runs have files of the same names, and each name has one obstacle.
    let mut names = BTreeSet::new();
    let blocked = written.iter().filter(|file| {
        !file.ends_with(RENAMED) && !file.ends_with(REPORT_OF_RUN) && names.insert(file.file_name())
    });
    fail_at_each(folder, "run", blocked, || run("run"));
    assert_eq!(all_files(&folder.join("run")), written);
    let files =
        ["study-results.json", "runs/at/seed-0/model.safetensors", "runs/twins-at/seed-0/model.safetensors"];
    for file in files {
        let bytes = |out: &str| fs::read(folder.join(out).join(file)).unwrap();
        assert!(bytes("run") == bytes("straight"), "{file}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_printed_does_not_end_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    save_study(folder);
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

    let mut command = study(folder, "study", &["--set", "epochs=1"]);
    command.stdout(full());
    let message = fail(command);
    assert!(message.contains("cannot write to the standard output: No space left"), "{message}");
    assert!(folder.join("study/study-results.json").exists(), "the work was done");

    // A reader that closes the pipe, as `head` does, has what it wanted.
    for (mut command, result) in [
        (finetune(folder, "piped", &[&QUICK[..], &["--epochs", "1"]].concat()), "piped/report.json"),
        (evaluate(folder, "piped.json", &pgd), "piped.json"),
        (study(folder, "piped-study", &["--set", "epochs=1"]), "piped-study/study-results.json"),
    ] {
        let mut process = command.spawn().unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{result}: {}", error_of(&output));
        assert!(folder.join(result).exists(), "{result}");
    }
}

/// The command as a user that owns nothing. The program, and files that are given with their whole path, are copied to the folder, because
/// this user may not be able to reach them.
fn as_another_user(command: &Command, folder: &Path) -> Command {
    let mut other = Command::new("setpriv");
    other.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    for word in std::iter::once(command.get_program()).chain(command.get_args()) {
        let path = Path::new(word);
        if path.is_absolute() {
            let copy = folder.join(path.file_name().unwrap());
            if !copy.exists() {
                fs::copy(path, &copy).unwrap();
            }
            other.arg(copy);
        } else {
            other.arg(word);
        }
    }
    other.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    other
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    save_study(folder);
    fs::write(folder.join("file"), "no directory").unwrap();
    let pgd = ["--attack", "pgd", "--steps", "1", "--limit", "20"];
    let clean = ["--attack", "clean", "--limit", "20"];
    let everywhere = |directory: &str| {
        let images = format!("{directory}/images/adversarial.npy");
        [
            finetune(folder, &format!("{directory}/run"), &[&QUICK[..], &["--epochs", "1"]].concat()),
            evaluate(folder, &format!("{directory}/report.json"), &pgd),
            evaluate(folder, &format!("{directory}/report.json"), &clean),
            study(folder, &format!("{directory}/study"), &[]),
            evaluate(folder, "images.json", &[&pgd[..], &["--save-adversarial", &images]].concat()),
        ]
    };
    // Below a regular file, where not even root can create anything.
    for message in everywhere("file").map(fail) {
        assert!(message.contains("file/") && message.contains("Not a directory"), "{message}");
    }
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "no directory");
    assert!(!folder.join("images.journal").exists(), "refused after the attacks");

    let locked = folder.join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    let mut commands = everywhere("locked");
    let probe = locked.join("probe");
    if File::create(&probe).is_ok() {
        // Root may write everywhere.
        fs::remove_file(probe).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        let allowed = as_another_user(&evaluate(folder, "allowed.json", &clean), folder).output();
        if !allowed.as_ref().is_ok_and(|output| output.status.success()) {
            // Past the test's own output, which is not shown where it passes.
            let skipped =
                "skipped: this user may write to every directory, and no command can be run as another one";
            let _ = writeln!(std::io::stderr(), "{skipped}: {allowed:?}");
            return;
        }
        commands = commands.map(|command| as_another_user(&command, folder));
    }
    for message in commands.map(fail) {
        assert!(message.contains("locked/") && message.contains("Permission denied"), "{message}");
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
}

//! Names from files and folders do not act on the terminal: errors and warnings stay on one line, without control characters.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use burn_twins::models::ModelCard;
use twins_testing::{check_message, repository};

/// Runs the program in a folder, and returns its status, its output and its errors.
fn twins(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_twins")).current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// The error with which the program fails: one line.
fn error(folder: &Path, arguments: &[&str]) -> String {
    let (success, said, error) = twins(folder, arguments);
    assert!(!success, "{arguments:?}: {said}");
    check_message(&error);
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

const NAME: &str = "a\n\u{1b}[2Jerror: b";
const SHOWN: &str = "a\\n\\u{1b}[2Jerror: b";

/// A grey image of 40 x 40 pixels.
fn write_image(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, [&b"P5 40 40 255\n"[..], &[7; 1600]].concat()).unwrap();
}

#[test]
fn names_of_classes_and_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let train = |data: &str| {
        error(
            folder,
            &["train", "--arch", "resnet8", "--data", data, "--preprocessing", "40/32", "--out", "run"],
        )
    };
    write_image(&folder.join("one").join(NAME).join("1.pgm"));
    let message = train("folder:one");
    assert!(message.contains(&format!("has one class, \"{SHOWN}\"")), "{message}");

    write_image(&folder.join("two/b/1.pgm"));
    fs::create_dir_all(folder.join("two").join(NAME)).unwrap();
    fs::write(folder.join("two").join(NAME).join("1\u{9b}2J.pgm"), "no image").unwrap();
    let message = train("folder:two");
    assert!(message.contains(&format!("{SHOWN}/1\\u{{9b}}2J.pgm is not a PNG")), "{message}");

    fs::write(folder.join("list.tsv"), "x\u{1b}[2J.pgm\ta\ttrain\n").unwrap();
    let message = train("list:list.tsv");
    assert!(message.contains("the image \"x\\u{1b}[2J.pgm\" does not exist"), "{message}");
}

#[test]
fn long_names_of_classes_in_results() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut list = String::new();
    for (class, name) in ["\u{1b}[2Jcat \u{202e}".to_owned(), "long ".repeat(2000)].iter().enumerate() {
        for image in 0..16 {
            let file = format!("{class}-{image}.pgm");
            write_image(&folder.join(&file));
            list += &format!("{file}\t{name}\t{}\n", if image < 12 { "train" } else { "test" });
        }
    }
    fs::write(folder.join("list.tsv"), list).unwrap();
    let succeed = |arguments: &[&str]| {
        let (success, said, errors) = twins(folder, arguments);
        assert!(success, "{arguments:?}: {errors}");
        check_message(&said);
        let longest = said.lines().chain(errors.lines()).map(|line| line.chars().count()).max().unwrap();
        assert!(longest < 400, "{longest} characters: {said}{errors}");
        said
    };
    let data = ["--data", "list:list.tsv"];
    let training =
        ["train", "--arch", "resnet8", "--preprocessing", "40/32", "--method", "standard", "--out", "run"];
    let quick = ["--epochs", "1", "--batch-size", "8", "--report-images", "1"];
    succeed(&[&training[..], &data, &quick].concat());
    let evaluation =
        ["evaluate", "--weights", "run/standard/model.safetensors", "--attack", "clean", "--per-class"];
    let said = succeed(&[&evaluation[..], &data, &["--json", "report.json"]].concat());
    assert!(said.contains("\n\\u{1b}[2Jcat \\u{202e} ") && said.contains("\nlong long "), "{said}");
    // The first captions of the report.
    let report = fs::read_to_string(folder.join("run/report.html")).unwrap();
    assert!(report.contains("long long") && !report.contains(&"long ".repeat(100)));
}

#[test]
fn names_in_settings_and_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("run.toml"), "\"ep\\u001b[2Jochs\" = 1\n").unwrap();
    let message = error(folder, &["train", "--config", "run.toml", "--show-config"]);
    assert!(message.contains("unknown key \"ep\\u{1b}[2Jochs\""), "{message}");

    // A dictionary with a function of such a name.
    fs::write(folder.join("weights.pt"), b"\x80\x02cos\nsys\x1b[2Jtem\n.").unwrap();
    let message = error(folder, &["convert", "weights.pt", "--arch", "resnet8"]);
    assert!(message.contains("os.sys\\u{1b}[2Jtem"), "{message}");
}

#[test]
fn names_in_a_class_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A network of ten classes.
    let weights = repository().join("examples/studies/letters.safetensors");
    let weights = weights.to_str().unwrap();
    let arguments = ["convert", weights, "--class-file", "names.txt", "--out", "model.safetensors"];
    let refused = |names: &[u8]| {
        fs::write(folder.join("names.txt"), names).unwrap();
        let message = error(folder, &arguments);
        assert!(!folder.join("model.safetensors").exists());
        message
    };
    let message = refused(b"a\xffb\n");
    assert!(message.contains("names.txt") && message.contains("UTF-8"), "{message}");
    let message = refused(b"\n \n");
    assert!(message.contains("names.txt: no names of classes"), "{message}");
    let message = refused(&b"\x1b[2J\n".repeat(11));
    assert!(message.contains("1 class names were given for a model of 10 classes"), "{message}");

    // Names may have any characters, and are kept.
    let mut names: Vec<String> = (0..10).map(|class| format!("class {class}")).collect();
    names[3] = "\u{1b}[2J\u{202e}3".to_owned();
    fs::write(folder.join("names.txt"), names.join("\n")).unwrap();
    let (success, said, errors) = twins(folder, &arguments);
    assert!(success, "{errors}");
    check_message(&said);
    assert_eq!(ModelCard::read(folder.join("model.safetensors")).unwrap().classes(), names);
}

#[test]
fn weights_whose_path_is_not_text() {
    let folder = tempfile::tempdir().unwrap();
    let weights = OsStr::from_bytes(b"a\xff.pt");
    for arguments in [&["finetune"][..], &["evaluate", "--data", "builtin", "--json", "report.json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twins"));
        command.current_dir(folder.path()).args(arguments).arg("--weights").arg(weights);
        let output = command.output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && message.contains("UTF-8"), "{arguments:?}: {message}");
    }
}

#[test]
fn names_in_warnings_and_records() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The other file is skipped, and one class is too few to train on.
    write_image(&folder.join("data").join(NAME).join("1.pgm"));
    fs::write(folder.join("data").join(NAME).join("2\n\u{7}.txt"), "no image").unwrap();
    let arguments = ["--preprocessing", "40/32", "--skip-non-images", "--out", "run"];
    let (success, said, errors) =
        twins(folder, &[&["train", "--arch", "resnet8", "--data", "folder:data"][..], &arguments].concat());
    assert!(!success, "{said}");
    check_message(&errors);
    assert_eq!(errors.lines().count(), 2, "{errors}");
    assert!(
        errors.contains(&format!("warning: skipped, no image: data/{SHOWN}/2\\n\\u{{7}}.txt")),
        "{errors}"
    );

    fs::create_dir(folder.join("other")).unwrap();
    fs::write(folder.join("other/result.json"), "{\"name\": \"x\", \"status\": \"\\u001b[2Jdone\"}").unwrap();
    let message = error(folder, &["report", "other"]);
    assert!(message.contains("result.json is damaged") && message.contains("\\u{1b}[2Jdone"), "{message}");
}

//! Damaged files of a run: it is resumed to the same weights, or refused with the name of the file or of the run.
//!
//! Every bit of a journal is flipped in the tests of `twins-attack`, and every byte of a checkpoint altered in those of `twins-train`.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::{QUICK, error_of, finetune, save_study, study, succeed};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A file as it may be found after a fault, each with a word for the fault.
fn damaged(bytes: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let mut flipped = bytes.to_vec();
    flipped[bytes.len() / 2] ^= 1 << 2;
    [("emptied", Vec::new()), ("truncated", bytes[..bytes.len() / 2].to_vec()), ("flipped", flipped)]
}

/// Whether the output says that the last checkpoint of a run is damaged, and that the one before it is used.
fn is_told(output: &Output, run: &str) -> bool {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().any(|line| {
        line.contains("resumed from the checkpoint before the last one")
            && line.contains(&format!("{run}/last.safetensors"))
    })
}

#[test]
fn a_run_with_damaged_files_is_resumed_correctly_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let resume = |out: &str| finetune(folder, out, &[&QUICK[..], &["--epochs", "2", "--resume"]].concat());
    succeed(finetune(folder, "original", &[&QUICK[..], &["--epochs", "1"]].concat()));
    copy(&folder.join("original"), &folder.join("straight"));
    succeed(resume("straight"));
    let model = |out: &str| fs::read(folder.join(out).join("at/model.safetensors")).unwrap();
    let expected = model("straight");
    assert!(model("original") != expected, "the second epoch changes nothing");

    let (mut resumed, mut refused) = (0, 0);
    for file in ["experiment.json", "config.json", "metrics.jsonl", "result.json", "last.safetensors"] {
        let bytes = fs::read(folder.join("original/at").join(file)).unwrap();
        for (damage, content) in damaged(&bytes) {
            copy(&folder.join("original"), &folder.join("run"));
            fs::write(folder.join("run/at").join(file), content).unwrap();
            let output = resume("run").output().unwrap();
            let message = error_of(&output);
            assert!(!message.contains("panicked"), "{file} {damage}: {message}");
            if output.status.success() {
                assert!(model("run") == expected, "{file} {damage}: the weights differ");
                if file == "last.safetensors" {
                    assert!(
                        is_told(&output, "run/at"),
                        "{damage}: {}",
                        String::from_utf8_lossy(&output.stdout)
                    );
                }
                resumed += 1;
            } else {
                let named = message.contains(file) || message.contains("run/at holds a run");
                assert!(output.status.code() == Some(1) && named, "{file} {damage}: {message}");
                refused += 1;
            }
            fs::remove_dir_all(folder.join("run")).unwrap();
        }
    }
    println!("{resumed} resumed, {refused} refused");
    // The checkpoint before the last one is used, and settings that cannot be read are refused.
    assert!(resumed >= 3 && refused >= 4, "{resumed} resumed, {refused} refused");
}

#[test]
fn a_study_with_damaged_settings_is_repeated_correctly_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_study(folder);
    let repeat = |out: &str| study(folder, out, &["--set", "epochs=1"]);
    succeed(repeat("original"));
    let results = |out: &str| fs::read(folder.join(out).join("study-results.json")).unwrap();
    let mut refused = 0;
    // Each with what an error may say instead of its name.
    for (file, directory) in [
        ("study.json", "copy holds another study"),
        ("runs/at/seed-0/experiment.json", "copy/runs/at/seed-0"),
    ] {
        let bytes = fs::read(folder.join("original").join(file)).unwrap();
        for (damage, content) in damaged(&bytes) {
            copy(&folder.join("original"), &folder.join("copy"));
            fs::write(folder.join("copy").join(file), content).unwrap();
            let output = repeat("copy").output().unwrap();
            let message = error_of(&output);
            assert!(!message.contains("panicked"), "{file} {damage}: {message}");
            if output.status.success() {
                assert!(results("copy") == results("original"), "{file} {damage}: the results differ");
            } else {
                let named = message.contains(&format!("copy/{file}")) || message.contains(directory);
                assert!(output.status.code() == Some(1) && named, "{file} {damage}: {message}");
                refused += 1;
            }
            fs::remove_dir_all(folder.join("copy")).unwrap();
        }
    }
    // Both files, emptied and truncated.
    assert!(refused >= 4, "{refused} refused");
}

#[test]
fn a_study_with_a_damaged_checkpoint_ends_with_the_same_results() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_study(folder);
    succeed(study(folder, "original", &[]));
    let kept = ["study-results.json", "runs/at/seed-0/model.safetensors"];
    let results = |out: &str| kept.map(|file| fs::read(folder.join(out).join(file)).unwrap());
    let expected = results("original");
    let last = "runs/at/seed-0/last.safetensors";
    let bytes = fs::read(folder.join("original").join(last)).unwrap();
    for (damage, content) in damaged(&bytes) {
        copy(&folder.join("original"), &folder.join("copy"));
        // What a kill at the end of a training leaves.
        for file in ["study-results.json", "runs/at/seed-0/model.safetensors", "runs/at/seed-0/result.json"] {
            fs::remove_file(folder.join("copy").join(file)).unwrap();
        }
        fs::write(folder.join("copy").join(last), content).unwrap();
        let output = succeed(study(folder, "copy", &[]));
        assert!(
            is_told(&output, "copy/runs/at/seed-0"),
            "{damage}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert!(results("copy") == expected, "{damage}: the results differ");
        fs::remove_dir_all(folder.join("copy")).unwrap();
    }
}

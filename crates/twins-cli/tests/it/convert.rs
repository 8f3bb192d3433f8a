//! `twins convert` writes what its options say, or refuses them.

use std::path::Path;
use std::process::Command;

use twins_testing::repository;

/// Runs the command on a weight file in a folder, and returns its error, which is empty if it succeeds.
fn convert(folder: &Path, weights: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twins"));
    let output = command.current_dir(folder).arg("convert").arg(weights).args(arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), error.is_empty(), "{arguments:?}: {error}");
    error
}

#[test]
fn options_that_a_format_cannot_record_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let weights = repository().join("examples/studies/letters.safetensors");
    let out = ["--out", "out.safetensors"];
    for format in ["pytorch", "both-wings"] {
        for option in [
            ["--normalisation", "cifar10"],
            ["--upsample", "64"],
            ["--classes", "a,b"],
            ["--class-file", "names.txt"],
            ["--classes-of", "builtin"],
        ] {
            let message = convert(folder, &weights, &[&["--format", format][..], &out, &option].concat());
            assert!(message.contains(&format!("{} would be lost", option[0])), "{message}");
            assert!(!folder.join("out.safetensors").exists());
        }
        assert_eq!(convert(folder, &weights, &[&["--format", format][..], &out].concat()), "");
        std::fs::remove_file(folder.join("out.safetensors")).unwrap();
    }
    assert_eq!(convert(folder, &weights, &[&out[..], &["--normalisation", "cifar10"]].concat()), "");
}

#[test]
fn images_may_be_enlarged_to_less_than_the_architectures_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let weights = repository().join("examples/studies/letters.safetensors");
    let plain = folder.join("plain.safetensors");
    assert_eq!(convert(folder, &weights, &["--format", "pytorch", "--out", "plain.safetensors"]), "");
    // A tiny-resnet for images of at most 16 pixels.
    let arguments = ["--arch", "tiny-resnet", "--upsample", "16", "--out", "small.safetensors"];
    assert_eq!(convert(folder, &plain, &arguments), "");
    // A model file records the images, which are larger.
    let message = convert(folder, &weights, &["--upsample", "16"]);
    assert!(message.contains("cannot take 16x16 images: up-sampling enlarges"), "{message}");
}

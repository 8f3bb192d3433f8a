//! A training is never resumed from a damaged checkpoint: it is resumed from the one before, or refused with the name of the file.

use std::fs;
use std::path::Path;

use twins_train::{ExistingRun, Method, TrainError, Trained, Weights};
use twins_train_testing::{Net, Squares, config, trainer};

fn train(run: &Path, epochs: usize) -> Result<Trained<Net>, TrainError> {
    trainer(config(Method::TwinsAt).with_epochs(epochs).with_checkpoint_steps(2))
        .with_run_directory(run, ExistingRun::Resume)
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
}

#[test]
fn wherever_a_checkpoint_is_damaged_the_run_ends_with_the_same_weights_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (original, run) = (folder.path().join("original"), folder.path().join("run"));
    let straight = train(&folder.path().join("straight"), 2).unwrap();
    train(&original, 1).unwrap();
    let restore = |with_previous: bool| {
        let _ = fs::remove_dir_all(&run);
        fs::create_dir(&run).unwrap();
        for entry in fs::read_dir(&original).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if with_previous || name != "previous.safetensors" {
                fs::copy(&path, run.join(name)).unwrap();
            }
        }
    };
    let bytes = fs::read(original.join("last.safetensors")).unwrap();
    let mut damaged: Vec<Vec<u8>> = (0..10).map(|tenth| bytes[..bytes.len() * tenth / 10].to_vec()).collect();
    // The length of the header, the header, and the tensors.
    for place in [0, 7, 9, 40, bytes.len() / 4, bytes.len() / 2, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        damaged.push(flipped);
    }
    for (case, damaged) in damaged.iter().enumerate() {
        restore(true);
        fs::write(run.join("last.safetensors"), damaged).unwrap();
        let resumed = train(&run, 2).unwrap();
        assert_eq!(Weights::of(&resumed.last), Weights::of(&straight.last), "case {case}");
        assert_eq!(Weights::of(&resumed.best), Weights::of(&straight.best), "case {case}");
        let problem = resumed.damaged_checkpoint.expect("the damage was noticed").to_string();
        assert!(problem.contains("last.safetensors"), "case {case}: {problem}");

        restore(false);
        fs::write(run.join("last.safetensors"), damaged).unwrap();
        let error = train(&run, 2).unwrap_err();
        assert!(matches!(error, TrainError::Checkpoint { .. }), "case {case}: {error}");
        assert!(error.to_string().contains("last.safetensors"), "case {case}: {error}");
        assert_eq!(fs::read(run.join("last.safetensors")).unwrap(), *damaged, "case {case}: it was replaced");
    }
}

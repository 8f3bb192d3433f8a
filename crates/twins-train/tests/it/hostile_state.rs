//! States that were made to look whole: what does not fit the run is an error that says so, and the run is left as it is.

use std::fs;
use std::path::Path;

use safetensors::tensor::Dtype;
use serde_json::json;
use twins_testing::check_message;
use twins_train::{ExistingRun, Method, TrainError};
use twins_train_testing::{Forged, Net, Squares, config, forged, trainer};

/// Trains up to so many epochs, from the state in the directory if there is one.
fn train(run: &Path, epochs: usize) -> Result<(), TrainError> {
    trainer(config(Method::At).with_epochs(epochs))
        .with_run_directory(run, ExistingRun::Resume)
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .map(|_| ())
}

fn in_state(key: &'static str, value: u64) -> impl Fn(&mut Forged) {
    move |content| {
        let mut state: serde_json::Value = serde_json::from_str(&content.metadata["state"]).unwrap();
        state[key] = json!(value);
        content.metadata.insert("state".to_owned(), state.to_string());
    }
}

/// Replaces the type and shape of the first tensor whose name begins like this.
fn in_tensor(prefix: &'static str, dtype: Option<Dtype>, more_axes: bool) -> impl Fn(&mut Forged) {
    move |content| {
        let mut tensors = content.tensors.iter_mut();
        let (_, tensor) = tensors.find(|(name, _)| name.starts_with(prefix)).expect("it is in a state");
        tensor.0 = dtype.unwrap_or(tensor.0);
        if more_axes {
            tensor.1.push(1);
        }
    }
}

#[test]
fn a_state_that_does_not_fit_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), 1).unwrap();
    let last = folder.path().join("last.safetensors");
    let whole = fs::read(&last).unwrap();
    // With one of the state's own checksum, so that what is refused below is the content.
    assert_eq!(forged(&whole, |_| {}).unwrap(), whole);
    let renamed = |content: &mut Forged| {
        let (name, tensor) = content.tensors.pop_first().unwrap();
        content.tensors.insert(format!("model/\u{1b}[2J\n{name}"), tensor);
    };
    type Change<'a> = &'a dyn Fn(&mut Forged);
    let changes: [(Change<'_>, &str); 6] = [
        (&in_state("step", 6), "it is at step 6 of an epoch of 5 steps"),
        (&in_state("version", 99), "an earlier version"),
        (&in_state("data_key", 3), "other training data"),
        (&in_tensor("optimiser/", None, true), "should be a list of floats"),
        (&in_tensor("model/", Some(Dtype::I32), false), "has type I32"),
        (&renamed, "the weights do not fit the model"),
    ];
    for (change, expected) in changes {
        let bytes = forged(&whole, change).unwrap();
        fs::write(&last, &bytes).unwrap();
        // The state before it would take its place.
        let _ = fs::remove_file(folder.path().join("previous.safetensors"));
        let message = train(folder.path(), 2).unwrap_err().to_string();
        assert!(message.contains(expected), "{expected}: {message}");
        check_message(&message);
        assert!(!message.contains('\n'), "{message}");
        assert_eq!(fs::read(&last).unwrap(), bytes);
    }
    fs::write(&last, &whole).unwrap();
    train(folder.path(), 2).unwrap();
}

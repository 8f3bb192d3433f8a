//! The files that a run continues from: made-up bytes, and changes to what was written, for the state also with the checksum of what it
//! then holds. The first byte chooses the file and the kind of change.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use burn::tensor::{Device, Tensor};
use burn_twins_fuzz::{choice, edited, path, refused, remove, within, write};
use libfuzzer_sys::fuzz_target;
use twins_train::{ExistingRun, Method, TrainError};
use twins_train_testing::{Forged, Net, Squares, config, forged, trainer};

const FILES: [&str; 4] = ["last.safetensors", "config.json", "metrics.jsonl", "best.safetensors"];

/// The files of a run of one epoch.
static WHOLE: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    resume().expect("the run can be trained");
    FILES.map(|name| fs::read(path("run").join(name)).expect("the run has written it"))
});

/// Trains one epoch, or returns what a run of one epoch has left.
fn resume() -> Result<(), TrainError> {
    trainer(config(Method::At).with_epochs(1))
        .with_run_directory(path("run"), ExistingRun::Resume)
        .fit(Net::new(4, 1), Squares::dataset(40, 1))
        .map(|_| ())
}

/// A run that has ended is not trained again, whatever its state holds: a fuzz target ends with every panic, also one in a step, which a
/// training reports as an error.
fn ended(content: &mut Forged) {
    let state = content.metadata.get("state").and_then(|text| serde_json::from_str(text).ok());
    if let Some(serde_json::Value::Object(mut state)) = state {
        if let Some(epoch) = state.get_mut("epoch") {
            *epoch = 1.into();
        }
        let text = serde_json::Value::Object(state).to_string();
        content.metadata.insert("state".to_owned(), text);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (which, rest) = choice(bytes);
    // The first input trains the run whose files the others change.
    let mut contents = WHOLE.clone();
    let (file, kind) = (which / 3 % FILES.len(), which % 3);
    contents[file] = match kind {
        0 => rest.to_vec(),
        _ => edited(&contents[file], rest),
    };
    if (file, kind) == (0, 2)
        && let Some(forged) = forged(&contents[0], ended)
    {
        contents[0] = forged;
    }
    for (name, content) in FILES.iter().zip(&contents) {
        write(&format!("run/{name}"), content);
    }
    for name in ["previous.safetensors", "damaged.safetensors"] {
        remove(&path("run").join(name));
    }
    let size = contents.iter().map(Vec::len).sum();
    if let Err(error) = within(size, resume) {
        refused(&error);
    }
    // Burn keeps an entry for each parameter in training form until the next backward pass.
    Tensor::<1>::ones([1], &Device::flex().autodiff()).require_grad().backward();
});

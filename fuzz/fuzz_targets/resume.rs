//! The state of a run: made-up bytes, and changes to one that was written, with the checksum of what it then holds.

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
    let [state, settings, metrics, best] = &*WHOLE;
    let state = match which % 3 {
        0 => rest.to_vec(),
        1 => edited(state, rest),
        _ => {
            let changed = edited(state, rest);
            forged(&changed, ended).unwrap_or(changed)
        }
    };
    let contents = [&state, settings, metrics, best];
    for (name, content) in FILES.iter().zip(contents) {
        write(&format!("run/{name}"), content);
    }
    for name in ["previous.safetensors", "damaged.safetensors"] {
        remove(&path("run").join(name));
    }
    let size = contents.iter().map(|content| content.len()).sum();
    if let Err(error) = within(size, resume) {
        refused(&error);
    }
    // Burn keeps an entry for each parameter in training form until the next backward pass.
    Tensor::<1>::ones([1], &Device::flex().autodiff()).require_grad().backward();
});

//! Settings in TOML and JSON: of a training, and of a whole experiment.

#![no_main]

use burn_twins_fuzz::{refused, within, write};
use libfuzzer_sys::fuzz_target;
use twins_experiment::{Draft, Layer};
use twins_train::{ConfigFile, TrainConfig};

fuzz_target!(|bytes: &[u8]| {
    for name in ["settings.toml", "settings.json"] {
        let path = write(name, bytes);
        let training = within(bytes.len(), || {
            let config = ConfigFile::read(&path)?.apply(TrainConfig::default())?;
            config.validate()?;
            Ok::<_, twins_train::TrainError>(config)
        });
        match training {
            Ok(config) => {
                // As a run records it, so that it can be resumed.
                let recorded = serde_json::to_value(&config).expect("settings are plain data");
                let read: TrainConfig = serde_json::from_value(recorded).expect("it was written");
                assert_eq!(read, config);
            }
            Err(error) => refused(&error),
        }
        let experiment = within(bytes.len(), || Draft::new().with_layer(Layer::read(&path)?).resolve());
        match experiment {
            Ok(experiment) => drop(experiment.test_protocol().expect("the settings were checked")),
            Err(error) => refused(&error),
        }
    }
});

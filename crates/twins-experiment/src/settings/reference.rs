//! Writes docs/reference/settings.md from the settings themselves.

use serde_json::Value;
use twins_train::Settings;

use super::layer::short;
use super::{Draft, ExperimentConfig, Layer, plain};

const HEADING: &str = "\
# Settings

Every setting of an experiment: what a file of `--config`, a study and `--set KEY=VALUE` can give. The defaults are those of a run without a preset on data
other than the built-in. `none` stands for a setting without a value. The settings of the training may also be written with `training.` before them.
The augmentation is by default [that of the data](../data.md#options), and a table `augmentation` changes single settings of it.
The method of `twins train` is by default `at`.
[Training](../training.md) says what they do, [Data](../data.md) and [Models](../models.md) what images and weights there are.

This page is written from the code; a test compares the two.

";

/// The text of the reference: a table of keys and defaults for each group of settings.
fn reference() -> String {
    let mut text = HEADING.to_owned();
    for (group, rows) in groups(&ExperimentConfig::default()) {
        text += &format!("## {group}\n\n| setting | default |\n| --- | --- |\n");
        for (key, default) in rows {
            text += &format!("| `{}` | {default} |\n", short(&key));
        }
        text += "\n";
    }
    text.trim_end().to_owned() + "\n"
}

/// The keys and values of each group of settings.
fn groups(config: &ExperimentConfig) -> Vec<(String, Vec<(String, String)>)> {
    let (known, values) = (ExperimentConfig::known_keys(), plain(config));
    let group = |(group, keys): (&String, &Value)| {
        let mut rows = Vec::new();
        collect(group, keys, values.get(group), &mut rows);
        rows.sort();
        (group.clone(), rows)
    };
    known.as_object().expect("settings are tables").iter().map(group).collect()
}

fn collect(key: &str, known: &Value, default: Option<&Value>, rows: &mut Vec<(String, String)>) {
    match known {
        Value::Object(keys) if !keys.is_empty() => {
            for (name, known) in keys {
                collect(&format!("{key}.{name}"), known, default.and_then(|value| value.get(name)), rows);
            }
        }
        _ => {
            let default = match default {
                _ if key.starts_with("training.augmentation.") => "that of the data".to_owned(),
                None | Some(Value::Null) => "none".to_owned(),
                Some(Value::String(text)) => format!("`\"{text}\"`"),
                Some(value) => format!("`{value}`"),
            };
            rows.push((key.to_owned(), default));
        }
    }
}

#[test]
fn the_reference_of_the_settings_is_that_of_the_code() {
    twins_testing::check_page("docs/reference/settings.md", &reference());
}

#[test]
fn the_defaults_are_those_of_a_run() {
    let given = "data.source = \"folder:no such folder\"\nmodel.arch = \"resnet20\"\n";
    let draft = Draft::new().with_layer(Layer::from_toml("run.toml", given).unwrap());
    let run = draft.resolve().unwrap();
    let defaults = groups(&ExperimentConfig::default());
    let differing: Vec<String> = groups(run.config())
        .into_iter()
        .zip(defaults)
        .flat_map(|((_, rows), (_, defaults))| rows.into_iter().zip(defaults))
        .filter(|(row, default)| row != default)
        .map(|((key, _), _)| key)
        .collect();
    assert_eq!(differing, ["data.source", "model.arch"]);
}

//! Writes docs/reference/settings.md from the settings themselves.

use serde_json::Value;
use twins_train::Settings;

use super::layer::short;
use super::{ExperimentConfig, plain};

const HEADING: &str = "\
# Settings

Every setting of an experiment: what a file of `--config`, a study and `--set KEY=VALUE` can give. The defaults are those of a run without a preset on data
other than the built-in. `none` stands for a setting without a value. The settings of the training may also be written with `training.` before them.
[Training](../training.md) says what they do, [Data](../data.md) and [Models](../models.md) what images and weights there are.

This page is written from the code; a test compares the two.

";

/// The text of the reference: a table of keys and defaults for each group of settings.
fn reference() -> String {
    let (known, defaults) = (ExperimentConfig::known_keys(), plain(&ExperimentConfig::default()));
    let mut text = HEADING.to_owned();
    for (group, keys) in known.as_object().expect("settings are tables") {
        let mut rows = Vec::new();
        collect(group, keys, defaults.get(group), &mut rows);
        rows.sort();
        text += &format!("## {group}\n\n| setting | default |\n| --- | --- |\n");
        for (key, default) in rows {
            text += &format!("| `{}` | {default} |\n", short(&key));
        }
        text += "\n";
    }
    text.trim_end().to_owned() + "\n"
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

//! `run.json` in the run's folder: what the run is of, beside the settings of its training.

use std::fs;
use std::path::{Path, PathBuf};

use burn_twins::models::Net;
use burn_twins::train::Method;
use serde_json::{Value, json};

use crate::finetune::cli::Cli;
use crate::finetune::head::Head;
use crate::finetune::recipe::Recipe;
use crate::support::Outcome;
use crate::support::file_hash::file_hash;
use crate::support::parts::Parts;

const NAME: &str = "run.json";
/// The run's results.
const REPORTS: [&str; 2] = ["report.json", "report.html"];
/// The settings of a method's training: the first file that it writes.
const CONFIG: &str = "config.json";
/// What the training of one method leaves in its folder, in the order of deletion: a state without its settings would be
/// resumed with any.
const TRAINING: [&str; 7] = [
    "last.safetensors",
    "previous.safetensors",
    "damaged.safetensors",
    "best.safetensors",
    "model.safetensors",
    "metrics.jsonl",
    CONFIG,
];

/// Everything that decides which weights come out and that no method's `config.json` has.
pub fn settings(
    cli: &Cli,
    recipe: &Recipe,
    parts: &Parts,
    loaded: Option<(&Net, &Head)>,
) -> Result<Value, Box<dyn std::error::Error>> {
    let weights = cli.weights.as_deref().map(file_hash).transpose()?;
    let mut settings = json!({
        "methods": recipe.methods,
        "data": cli.data,
        "limit": cli.limit,
        "images": {
            "train": parts.train.len(),
            "validation": parts.validation.as_ref().map(|images| images.len()),
            "test": parts.test.len(),
        },
        "classes": parts.train.classes(),
        "held_out": parts.held_out,
        "framing": recipe.framing.to_string(),
        "weights": weights,
        "model": loaded.map(|(net, _)| net.config()),
        "head": loaded.map(|(_, head)| head.name()),
    });
    if !cli.input.rename.is_empty() {
        settings["rename"] = json!(cli.input.rename);
    }
    Ok(settings)
}

/// Refuses a folder that holds a run, unless it is to be continued or deleted.
pub fn refuse_existing(cli: &Cli, out: &Path) -> Outcome {
    match held(out) {
        Some(found) if !cli.resume && !cli.force => Err(format!(
            "{} holds another run ({found}); continue it with --resume, delete it with --force, or give another --out",
            out.display()
        )
        .into()),
        _ => Ok(()),
    }
}

/// Writes the settings before the first training; where a run is continued, checks that they are its own.
pub fn begin(cli: &Cli, out: &Path, settings: &Value) -> Outcome {
    if let Some(found) = held(out) {
        if cli.resume {
            return check(out, &found, settings);
        }
        if cli.force {
            delete(out, cli.weights.as_deref())?;
        }
    }
    let text = serde_json::to_string_pretty(settings)? + "\n";
    let path = out.join(NAME);
    twins_files::write_whole(&path, text.as_bytes()).map_err(|error| {
        format!("cannot write {}: {error}; make room or give another --out", path.display()).into()
    })
}

/// A file that only a run leaves: `run.json` alone may be of one that never came to train.
fn held(out: &Path) -> Option<String> {
    let trainings = folders().map(|folder| format!("{folder}/{CONFIG}"));
    REPORTS.map(str::to_owned).into_iter().chain(trainings).find(|file| out.join(file).exists())
}

fn folders() -> impl Iterator<Item = &'static str> {
    ["pretrain"].into_iter().chain(Method::ALL.into_iter().map(|method| method.name()))
}

fn check(out: &Path, found: &str, settings: &Value) -> Outcome {
    let path = out.join(NAME);
    let text = fs::read_to_string(&path).map_err(|error| {
        format!(
            "cannot read {}: {error}; the run in {} ({found}) was of data and weights that cannot be told; delete it with \
             --force, or give another --out",
            path.display(),
            out.display()
        )
    })?;
    let recorded: Value = serde_json::from_str(&text).map_err(|error| {
        format!("{} is damaged: {error}; delete the run with --force, or give another --out", path.display())
    })?;
    let mut found = Vec::new();
    differences("", &recorded, settings, &mut found);
    if found.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} holds a run with other settings: {}; continue it with its own, delete it with --force, or give another --out",
        out.display(),
        found.join("; ")
    )
    .into())
}

/// Every setting that differs, with both values.
fn differences(path: &str, recorded: &Value, given: &Value, found: &mut Vec<String>) {
    match (recorded, given) {
        (Value::Object(old), Value::Object(new)) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(&path, &recorded[key], &given[key], found);
            }
        }
        _ if recorded == given => {}
        _ => found.push(format!("{path} was {} and is now {}", shown(recorded), shown(given))),
    }
}

/// A value as far as it fits into a line.
fn shown(value: &Value) -> String {
    const LENGTH: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Deletes what a run leaves, and nothing else that may lie in its folder.
fn delete(out: &Path, weights: Option<&Path>) -> Outcome {
    let trainings = folders().flat_map(|folder| TRAINING.map(|file| out.join(folder).join(file)));
    let files = REPORTS.into_iter().chain([NAME]).map(|file| out.join(file)).chain(trainings);
    let files: Vec<PathBuf> = files.filter(|file| file.exists()).collect();
    let weights = weights.and_then(|weights| weights.canonicalize().ok());
    if let Some(file) = files.iter().find(|file| weights.is_some() && file.canonicalize().ok() == weights) {
        return Err(format!(
            "--weights {} is of the run that --force deletes; give another --out, or copy the weights first",
            file.display()
        )
        .into());
    }
    for file in files {
        fs::remove_file(&file).map_err(|error| format!("cannot delete {}: {error}", file.display()))?;
    }
    for folder in folders() {
        // Fails where something else lies in it, which stays.
        fs::remove_dir(out.join(folder)).ok();
    }
    Ok(())
}

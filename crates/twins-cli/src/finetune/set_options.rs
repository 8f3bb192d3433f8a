//! `--set KEY=VALUE`: any setting of the training by the name that the configuration file has for it.

use std::path::Path;

use burn_twins::train::{ConfigFile, TrainError};

/// What errors and the list of sources call it.
pub const NAME: &str = "--set";

/// The settings of all `--set` together, since one table may be given by several; none without any.
pub fn read(given: &[String]) -> Result<Option<ConfigFile>, Box<dyn std::error::Error>> {
    if given.is_empty() {
        return Ok(None);
    }
    let lines = given.iter().map(|one| line(one)).collect::<Result<Vec<_>, _>>()?;
    ConfigFile::from_toml(Path::new(NAME), &lines.join("\n")).map(Some).map_err(|error| name_it(error, given))
}

/// The dotted keys that were given.
pub fn keys(given: &[String]) -> impl Iterator<Item = &str> {
    given.iter().filter_map(|one| one.split_once('=')).map(|(key, _)| key.trim())
}

/// One setting as a line of TOML.
fn line(one: &str) -> Result<String, String> {
    let usage = "give KEY=VALUE, as in --set ema_decay=0.999 or --set schedule.kind=cosine";
    let (key, value) = one.split_once('=').ok_or_else(|| format!("{NAME} {one} has no value; {usage}"))?;
    let (key, value) = (key.trim(), value.trim());
    let of_key = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
    if key.is_empty() || value.is_empty() || !key.chars().all(of_key) {
        return Err(format!("{NAME} {one} names no setting and value; {usage}"));
    }
    let is_number = value.parse::<f64>().is_ok_and(f64::is_finite);
    let is_toml = is_number || matches!(value, "true" | "false") || value.starts_with(['"', '\'', '[', '{']);
    Ok(match is_toml {
        true => format!("{key} = {value}"),
        // A word, which the shell has taken the quotes off.
        false => format!("{key} = {}", serde_json::Value::from(value)),
    })
}

/// An error that names the option in the place of a line.
fn name_it(error: TrainError, given: &[String]) -> Box<dyn std::error::Error> {
    let TrainError::ConfigFile { problem, .. } = &error else { return error.into() };
    let placed = problem.strip_prefix("line ").and_then(|rest| rest.split_once(": "));
    let one =
        placed.and_then(|(line, rest)| Some((given.get(line.parse::<usize>().ok()?.checked_sub(1)?)?, rest)));
    match one {
        Some((one, rest)) => format!("{NAME} {one}: {rest}").into(),
        None => error.into(),
    }
}

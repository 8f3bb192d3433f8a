//! `--set KEY=VALUE`: any setting, by its name in a configuration file.

use burn_twins::experiment::Layer;

/// The name of the option in errors and in the list of sources.
pub const NAME: &str = "--set";

/// Returns the settings of all `--set` options as one layer, because several of them may set keys of the same table;
/// `None` if there are none.
pub fn layer(given: &[String]) -> Result<Option<Layer>, Box<dyn std::error::Error>> {
    if given.is_empty() {
        return Ok(None);
    }
    let lines = given.iter().map(|one| line(one)).collect::<Result<Vec<_>, _>>()?;
    Layer::from_toml(NAME, &lines.join("\n"))
        .map(Some)
        .map_err(|error| named(&error.to_string(), given).into())
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
        // A string whose quotes the shell has removed.
        false => format!("{key} = {}", serde_json::Value::from(value)),
    })
}

/// Replaces the line number in an error by the option that it refers to.
fn named(error: &str, given: &[String]) -> String {
    let placed = error.strip_prefix(&format!("{NAME}: line ")).and_then(|rest| rest.split_once(": "));
    let one =
        placed.and_then(|(line, rest)| Some((given.get(line.parse::<usize>().ok()?.checked_sub(1)?)?, rest)));
    match one {
        Some((one, rest)) => format!("{NAME} {one}: {rest}"),
        None => error.to_owned(),
    }
}

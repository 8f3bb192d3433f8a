use serde_json::{Map, Value};
use twins_attack::{Norm, ThreatModel};

use super::epsilon_schedule::EpsilonSchedule;
use super::probe::ProbeConfig;
use super::protocol::EvaluationProtocol;
use super::settings_file::Settings;
use super::train_config::{NonFinite, TrainConfig, ValidationConfig};
use super::tuning::Tuning;
use crate::optimisers::{AwpConfig, OptimiserConfig, Schedule};

impl Settings for TrainConfig {
    fn known_keys() -> Value {
        let threat = ThreatModel::new(Norm::Linf, 0.0).expect("a radius of 0 is allowed");
        let protocol = EvaluationProtocol::new(threat, 1).into();
        let full = TrainConfig {
            ema_decay: Some(0.5),
            early_stopping: Some(1),
            checkpoint_steps: Some(1),
            awp: Some(AwpConfig::default()),
            mixup: Some(1.0),
            epsilon_schedule: Some(EpsilonSchedule::new(1.0)),
            non_finite: NonFinite::Stop,
            validation: ValidationConfig { protocol, ..ValidationConfig::default() },
            ..TrainConfig::default()
        };
        let mut known = serde_json::to_value(full).expect("a configuration is plain data");
        let alternatives = [
            ("schedule", serde_json::to_value(Schedule::MultiStep { milestones: vec![], gamma: 0.1 })),
            ("schedule", serde_json::to_value(Schedule::Cosine { final_fraction: 0.0 })),
            ("schedule", serde_json::to_value(Schedule::RobustAccuracy { factor: 0.5, patience: 1 })),
            ("optimiser", serde_json::to_value(OptimiserConfig::adamw())),
            (
                "tuning",
                serde_json::to_value(Tuning::ProbeThenFull(ProbeConfig::new(1).with_learning_rate(1.0))),
            ),
        ];
        for (key, alternative) in alternatives {
            if let (Some(table), Ok(Value::Object(keys))) = (known[key].as_object_mut(), alternative) {
                table.extend(keys);
            }
        }
        known["tuning"]["probe_schedule"] = known["schedule"].clone();
        known
    }

    fn alternatives() -> Vec<String> {
        ["schedule", "tuning", "optimiser"].map(str::to_owned).to_vec()
    }

    fn shorthands() -> Vec<(String, String)> {
        vec![("validation".to_owned(), "fraction".to_owned())]
    }
}

/// Describes the first unknown key, with its line and the most similar known key. `at_top` tells whether a key is at the top level
/// of the text, whose structure may differ from that of the settings.
pub(crate) fn unknown_key(
    given: &Value,
    known: &Value,
    at_top: impl Fn(&str) -> bool,
    text: &str,
) -> Option<String> {
    let (mut path, candidates) = find_unknown(given, known)?;
    let key = path.last()?.clone();
    let mut candidates: Vec<&String> = candidates.keys().collect();
    if path.len() > 1 && !at_top(&path[0]) {
        path.remove(0);
        if path.len() == 1 {
            candidates.extend(known.as_object().into_iter().flat_map(|known| known.keys()));
        }
    }
    let nearest = candidates.into_iter().min_by_key(|known| strsim::levenshtein(&key, known));
    let hint = nearest.map(|nearest| format!("; did you mean \"{nearest}\"?")).unwrap_or_default();
    let line = line_of_path(text, &path).map(|line| format!("line {line}: ")).unwrap_or_default();
    Some(format!("{line}unknown key \"{}\"{hint}", path.join(".")))
}

/// Finds the path of the first unknown key, and the keys that are known in the same table.
fn find_unknown<'a>(given: &Value, known: &'a Value) -> Option<(Vec<String>, &'a Map<String, Value>)> {
    let (Value::Object(given), Value::Object(known)) = (given, known) else { return None };
    given.iter().find_map(|(key, value)| match known.get(key) {
        Some(below) => find_unknown(value, below).map(|(mut path, candidates)| {
            path.insert(0, key.clone());
            (path, candidates)
        }),
        None => Some((vec![key.clone()], known)),
    })
}

/// Finds the line, from 1, of the last key of a path. Each key is searched for after the previous one. `None` if a key is
/// not found.
pub(crate) fn line_of_path(text: &str, path: &[String]) -> Option<usize> {
    let mut found = (0, None);
    for key in path {
        found = match line_of(text, key, found.0) {
            Some(line) => (line, Some(line + 1)),
            None => (found.0, None),
        };
    }
    found.1
}

/// Finds the first line, from 0, at or after line `from` that contains the key as a whole word.
fn line_of(text: &str, key: &str, from: usize) -> Option<usize> {
    let in_word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-');
    let has = |line: &str| {
        line.match_indices(key).any(|(place, _)| {
            let after = line[place + key.len()..].chars().next();
            !line[..place].ends_with(in_word) && !after.is_some_and(in_word)
        })
    };
    let lines = text.lines().enumerate().skip(from);
    lines
        .map(|(index, line)| (index, line.split('#').next().unwrap_or_default()))
        .find(|(_, line)| has(line))
        .map(|(index, _)| index)
}

use serde_json::Value;
use twins_attack::{Norm, ThreatModel};

use super::probe::ProbeConfig;
use super::protocol::EvaluationProtocol;
use super::train_config::{NonFinite, TrainConfig, ValidationConfig};
use super::tuning::Tuning;
use crate::optimisers::{AwpConfig, Schedule};

/// A configuration in which every key is present, tables of alternatives holding the keys of all of them.
pub(crate) fn known_keys() -> Value {
    let threat = ThreatModel::new(Norm::Linf, 0.0).expect("a radius of 0 is allowed");
    let protocol = EvaluationProtocol::new(threat, 1).into();
    let full = TrainConfig {
        gradient_clip: Some(1.0),
        ema_decay: Some(0.5),
        early_stopping: Some(1),
        checkpoint_steps: Some(1),
        awp: Some(AwpConfig::default()),
        non_finite: NonFinite::Stop,
        validation: ValidationConfig { protocol, ..ValidationConfig::default() },
        ..TrainConfig::default()
    };
    let mut known = serde_json::to_value(full).expect("a configuration is plain data");
    let alternatives = [
        ("schedule", serde_json::to_value(Schedule::MultiStep { milestones: vec![], gamma: 0.1 })),
        ("schedule", serde_json::to_value(Schedule::Cosine { final_fraction: 0.0 })),
        ("schedule", serde_json::to_value(Schedule::RobustAccuracy { factor: 0.5, patience: 1 })),
        ("tuning", serde_json::to_value(Tuning::ProbeThenFull(ProbeConfig::new(1).with_learning_rate(1.0)))),
    ];
    for (key, alternative) in alternatives {
        if let (Some(table), Ok(Value::Object(keys))) = (known[key].as_object_mut(), alternative) {
            table.extend(keys);
        }
    }
    known["tuning"]["probe_schedule"] = known["schedule"].clone();
    known
}

/// Names the first key that is not known, with its line and the nearest known one.
pub(crate) fn check_keys(given: &Value, known: &Value, path: &str, text: &str) -> Result<(), String> {
    let (Value::Object(given), Value::Object(known)) = (given, known) else { return Ok(()) };
    for (key, value) in given {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match known.get(key) {
            Some(known) => check_keys(value, known, &full, text)?,
            None => {
                let nearest = known.keys().min_by_key(|known| distance(key, known));
                let hint =
                    nearest.map(|nearest| format!("; did you mean \"{nearest}\"?")).unwrap_or_default();
                let line = line_of(text, key).map(|line| format!("line {line}: ")).unwrap_or_default();
                return Err(format!("{line}unknown key \"{full}\"{hint}"));
            }
        }
    }
    Ok(())
}

/// The first line, from 1, that has the word in it: of an unknown key the line where it stands.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let in_word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-');
    let has = |line: &str| {
        line.match_indices(key).any(|(place, _)| {
            let after = line[place + key.len()..].chars().next();
            !line[..place].ends_with(in_word) && !after.is_some_and(in_word)
        })
    };
    text.lines().position(|line| has(line.split('#').next().unwrap_or_default())).map(|index| index + 1)
}

/// The number of letters to insert, delete or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for j in 0..b.len() {
            let replaced = diagonal + usize::from(letter != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("beta", "beta"), 0);
    }
}

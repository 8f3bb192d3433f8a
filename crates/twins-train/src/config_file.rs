use std::path::Path;

use serde_json::Value;

use crate::{AwpConfig, NonFinite, Schedule, TrainConfig, TrainError, Tuning};

impl TrainConfig {
    /// Reads a configuration from a `.toml` or `.json` file. What the file leaves out keeps its default (the paper's
    /// setting).
    ///
    /// # Errors
    ///
    /// A file that cannot be read, an extension that is neither, a syntax error, an unknown key (with the nearest known
    /// one), a value of the wrong type, or a value out of range.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TrainError> {
        let path = path.as_ref();
        let bad = |problem: String| TrainError::ConfigFile { path: path.to_owned(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let value: Value = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => toml::from_str(&text).map_err(|error| bad(error.to_string()))?,
            Some("json") => serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?,
            _ => return Err(bad("its name must end in .toml or .json".to_owned())),
        };
        check_keys(&value, &known_keys(), "").map_err(bad)?;
        let config: Self = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
        config.validate()?;
        Ok(config)
    }
}

/// A configuration in which every key is present, tables of alternatives holding the keys of all of them.
fn known_keys() -> Value {
    let full = TrainConfig {
        gradient_clip: Some(1.0),
        ema_decay: Some(0.5),
        early_stopping: Some(1),
        checkpoint_steps: Some(1),
        awp: Some(AwpConfig::default()),
        non_finite: NonFinite::Stop,
        ..TrainConfig::default()
    };
    let mut known = serde_json::to_value(full).expect("a configuration is plain data");
    let alternatives = [
        ("schedule", serde_json::to_value(Schedule::MultiStep { milestones: vec![], gamma: 0.1 })),
        ("schedule", serde_json::to_value(Schedule::Cosine { final_fraction: 0.0 })),
        ("schedule", serde_json::to_value(Schedule::RobustAccuracy { factor: 0.5, patience: 1 })),
        ("tuning", serde_json::to_value(Tuning::ProbeThenFull { probe_epochs: 1 })),
    ];
    for (key, alternative) in alternatives {
        if let (Some(table), Ok(Value::Object(keys))) = (known[key].as_object_mut(), alternative) {
            table.extend(keys);
        }
    }
    known
}

fn check_keys(given: &Value, known: &Value, path: &str) -> Result<(), String> {
    let (Value::Object(given), Value::Object(known)) = (given, known) else { return Ok(()) };
    for (key, value) in given {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match known.get(key) {
            Some(known) => check_keys(value, known, &full)?,
            None => {
                let nearest = known.keys().min_by_key(|known| distance(key, known));
                let hint =
                    nearest.map(|nearest| format!("; did you mean \"{nearest}\"?")).unwrap_or_default();
                return Err(format!("unknown key \"{full}\"{hint}"));
            }
        }
    }
    Ok(())
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
    use crate::Method;

    fn read(name: &str, text: &str) -> Result<TrainConfig, TrainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        TrainConfig::from_file(path)
    }

    #[test]
    fn toml_overrides_the_defaults() {
        let text = "method = \"trades\"\nepochs = 5\nema_decay = 0.99\nfreeze = [\"conv1\"]\n\
                    [schedule]\nkind = \"cosine\"\nfinal_fraction = 0.1\n\
                    [adversary]\nsteps = 7\n\
                    [awp]\nwarmup_epochs = 10\n[auto_lora]\nrank = 4\n\
                    [tuning]\nkind = \"probe-then-full\"\nprobe_epochs = 2\n";
        let config = read("run.toml", text).unwrap();
        assert_eq!((config.method, config.epochs, config.adversary.steps), (Method::Trades, 5, 7));
        assert_eq!(config.schedule, Schedule::Cosine { final_fraction: 0.1 });
        assert_eq!(config.tuning, Tuning::ProbeThenFull { probe_epochs: 2 });
        assert_eq!(config.freeze, ["conv1"]);
        assert_eq!(config.awp, Some(AwpConfig::new(0.01).with_warmup_epochs(10)));
        assert_eq!((config.auto_lora.rank, config.auto_lora.divergence), (4, 6.0));
        assert_eq!(config.batch_size, 128);
    }

    #[test]
    fn the_written_configuration_reads_back() {
        let config = TrainConfig::new(Method::At).with_gradient_clip(2.0);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(read("config.json", &text).unwrap(), config);
    }

    #[test]
    fn bad_files_are_explained() {
        for (name, text, part) in [
            ("a.toml", "learning_rat = 0.1", "unknown key \"learning_rat\"; did you mean \"learning_rate\"?"),
            ("a.toml", "[awp]\ngama = 0.1", "\"awp.gama\"; did you mean \"gamma\"?"),
            ("a.toml", "[auto_lora]\nrang = 4", "\"auto_lora.rang\"; did you mean \"rank\"?"),
            ("a.toml", "[adversary]\nepsilom = 0.1", "\"adversary.epsilom\"; did you mean \"epsilon\"?"),
            ("a.json", "{\"schedule\": {\"kind\": \"cosine\", \"gamm\": 1}}", "did you mean \"gamma\"?"),
            (
                "a.json",
                "{\"schedule\": {\"kind\": \"cosine\", \"final_fraction\": 0, \"gamma\": 1}}",
                "gamma",
            ),
            ("a.json", "{\"epochs\": \"many\"}", "many"),
            ("a.json", "{\"epochs\": 3", "EOF"),
            ("a.toml", "batch_size = 1", "batch size is 1"),
            ("a.yaml", "epochs: 1", ".toml or .json"),
        ] {
            let message = read(name, text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn distances_by_hand() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("beta", "beta"), 0);
    }
}

//! Options of an import.

use serde::{Deserialize, Serialize};

use crate::import::rename::Rename;

/// The source of the imported model's normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalisationSource {
    /// The file's normaliser buffers, or the model's configuration if the file has none.
    #[default]
    File,
    /// The model's configuration; normaliser buffers in the file are ignored.
    Model,
}

/// Options for reading a weight file.
///
/// | option | default | purpose |
/// |---|---|---|
/// | `entry` | found automatically | the dictionary in the file that holds the weights, with dots if it is nested (`state_dict`, `checkpoint.model`) |
/// | `allow` | none | entries that may be missing, unexpected or of another shape; `*` matches any text |
/// | `rename` | none | renames of the file's entries, applied in order |
/// | `normalisation` | [`NormalisationSource::File`] | source of the model's mean and standard deviation |
///
/// Patterns are matched against the file's keys after renaming. For a missing entry, they are matched against the key
/// that the entry would have in the file. Parameters that an allowed entry does not fill keep their initial values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    renames: Vec<Rename>,
    normalisation: NormalisationSource,
}

impl ImportOptions {
    /// Creates the options of a strict import that finds everything automatically.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the entry of the file to read.
    pub fn with_entry(mut self, entry: impl Into<String>) -> Self {
        self.entry = Some(entry.into());
        self
    }

    /// Adds a pattern of entries that are allowed not to match the network.
    pub fn with_allow(mut self, pattern: impl Into<String>) -> Self {
        self.allow.push(pattern.into());
        self
    }

    /// Adds a rename of the file's entries, which is applied after the previous ones.
    pub fn with_rename(mut self, rename: Rename) -> Self {
        self.renames.push(rename);
        self
    }

    /// Sets the source of the model's normalisation.
    pub fn with_normalisation(mut self, source: NormalisationSource) -> Self {
        self.normalisation = source;
        self
    }

    /// The entry to read, if it was set.
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }

    /// The renames of the file's entries, in the order of application.
    pub fn renames(&self) -> &[Rename] {
        &self.renames
    }

    /// The source of the model's normalisation.
    pub fn normalisation(&self) -> NormalisationSource {
        self.normalisation
    }

    /// Whether a pattern allows the entry with this key not to match the network.
    pub fn allows(&self, key: &str) -> bool {
        self.allow.iter().any(|pattern| matches(pattern.as_bytes(), key.as_bytes()))
    }
}

/// Whether `text` matches a pattern in which `*` matches any text. Only the last star needs backtracking.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, tried)) = star {
            star = Some((at, tried + 1));
            p = at + 1;
            t = tried + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_they_are_written() {
        let all = ImportOptions::new()
            .with_entry("state_dict")
            .with_allow("fc.*")
            .with_rename("^conv_=conv".parse().unwrap())
            .with_normalisation(NormalisationSource::Model);
        for options in [ImportOptions::new(), all] {
            let json = serde_json::to_string(&options).unwrap();
            assert_eq!(serde_json::from_str::<ImportOptions>(&json).unwrap(), options, "{json}");
        }
        assert_eq!(serde_json::from_str::<ImportOptions>("{}").unwrap(), ImportOptions::new());
        let message = serde_json::from_str::<ImportOptions>(r#"{"alow": []}"#).unwrap_err().to_string();
        assert!(message.contains("unknown field `alow`"), "{message}");
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("fc.*", "fc.weight", true),
            ("fc.*", "module.fc.weight", false),
            ("*.fc.*", "module.fc.weight", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("fc.weight", "fc.weight", true),
            ("fc.weight", "fc.weight2", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }
}

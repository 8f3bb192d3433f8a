use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::csv::CsvObserver;
use super::json_lines::JsonLinesObserver;
use super::observer::TrainingObserver;
use super::tensorboard::TensorBoardObserver;
use crate::error::TrainError;

/// The built-in observers by name, for configuration files and command lines.
///
/// ```
/// use twins_train::ObserverKind;
///
/// # fn main() -> Result<(), twins_train::TrainError> {
/// let observer = "tensorboard".parse::<ObserverKind>()?.observer("runs/1/log");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ObserverKind {
    /// JSON lines; see [`JsonLinesObserver`].
    Jsonl,
    /// CSV files; see [`CsvObserver`].
    Csv,
    /// Event files for TensorBoard; see [`TensorBoardObserver`].
    TensorBoard,
}

impl ObserverKind {
    /// All kinds.
    pub const ALL: [ObserverKind; 3] = [Self::Jsonl, Self::Csv, Self::TensorBoard];

    /// The name on the command line and in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::TensorBoard => "tensorboard",
        }
    }

    /// Creates the observer, which writes to the given directory.
    pub fn observer(self, directory: impl AsRef<Path>) -> Box<dyn TrainingObserver> {
        let directory = directory.as_ref();
        match self {
            Self::Jsonl => Box::new(JsonLinesObserver::new(directory)),
            Self::Csv => Box::new(CsvObserver::new(directory)),
            Self::TensorBoard => Box::new(TensorBoardObserver::new(directory)),
        }
    }
}

impl fmt::Display for ObserverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ObserverKind {
    type Err = TrainError;

    fn from_str(name: &str) -> Result<Self, TrainError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| TrainError::UnknownObserver { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in ObserverKind::ALL {
            assert_eq!(kind.to_string().parse::<ObserverKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        let message = "wandb".parse::<ObserverKind>().unwrap_err().to_string();
        assert_eq!(message, "unknown observer \"wandb\"; known are jsonl, csv, tensorboard");
    }
}

use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use twins_files::one_line;
use twins_train::TrainError;

use crate::error::ExperimentError;

/// The divergence of a training, which ended because a loss, a gradient or a weight was NaN or infinite. Such a training is not repeated,
/// because it would diverge again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Divergence {
    /// What was not finite, such as `the loss is not finite (NaN)`.
    pub what: String,
    /// The epoch, from 1.
    pub epoch: usize,
    /// The step within the epoch, from 1.
    pub step: usize,
}

impl Divergence {
    /// The name of the file in the directory of a run that diverged.
    const FILE: &str = "diverged.json";

    /// Extracts the divergence from an error, if it is one.
    pub(super) fn of(error: &ExperimentError) -> Option<Self> {
        match error {
            ExperimentError::Train(TrainError::NonFinite { what, epoch, step, .. }) => {
                Some(Self { what: what.clone(), epoch: *epoch, step: *step })
            }
            _ => None,
        }
    }

    /// Reads the divergence of a run, if it diverged.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        // If the file cannot be read, the training is repeated and diverges again.
        serde_json::from_str(&fs::read_to_string(directory.join(Self::FILE)).ok()?).ok()
    }

    /// Records it in the directory of the run.
    pub(super) fn write(&self, directory: &Path) -> Result<(), ExperimentError> {
        let path = directory.join(Self::FILE);
        let text = serde_json::to_string_pretty(self).expect("plain data") + "\n";
        twins_files::write_atomic(&path, text.as_bytes()).map_err(ExperimentError::file("write", &path))
    }
}

/// For instance `the loss is not finite (NaN) at step 3 of epoch 1`.
impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, epoch, step } = self;
        write!(f, "{} at step {step} of epoch {epoch}", one_line(what))
    }
}

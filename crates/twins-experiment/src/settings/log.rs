use serde::{Deserialize, Serialize};
use twins_train::ObserverKind;

/// What is written down of every step and epoch, in the folder `log` of the run's directory. It does not belong to what the experiment
/// is: a run may be resumed with other formats.
///
/// | name | default | purpose |
/// |---|---|---|
/// | `formats` | `[]` | `jsonl`, `csv` and `tensorboard` ([`ObserverKind`]) |
///
/// ```
/// use twins_experiment::{Draft, Layer};
/// use twins_train::ObserverKind;
///
/// # fn main() -> Result<(), twins_experiment::ExperimentError> {
/// let file = Layer::from_toml("run.toml", "log.formats = [\"csv\", \"tensorboard\"]")?;
/// let experiment = Draft::new().with_layer(file).resolve()?;
/// assert_eq!(experiment.config().log.formats, [ObserverKind::Csv, ObserverKind::TensorBoard]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Formats of the files.
    pub formats: Vec<ObserverKind>,
}

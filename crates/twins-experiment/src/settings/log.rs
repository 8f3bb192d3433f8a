use serde::{Deserialize, Serialize};
use twins_train::ObserverKind;

/// The logs of every step and epoch, in the folder `log` of the run's directory. They are not part of the experiment's identity: a run may
/// be resumed with other formats.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Formats of the files.
    pub formats: Vec<ObserverKind>,
}

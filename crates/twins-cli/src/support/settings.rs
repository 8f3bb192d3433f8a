use burn_twins::experiment::{Draft, ExperimentError, Layer};
use serde::Serialize;

/// The settings of an experiment that options gave, each under the name of its option.
#[derive(Default)]
pub struct OptionSettings(Vec<Layer>);

impl OptionSettings {
    /// Adds a setting, where the option was given.
    ///
    /// # Errors
    ///
    /// A value that the setting does not take.
    pub fn add(
        &mut self,
        option: &str,
        key: &str,
        value: Option<impl Serialize>,
    ) -> Result<(), ExperimentError> {
        if let Some(value) = value {
            self.0.push(Layer::setting(option, key, value)?);
        }
        Ok(())
    }

    /// Adds a setting that an option without a value turns on.
    ///
    /// # Errors
    ///
    /// None for a setting that exists.
    pub fn add_flag(
        &mut self,
        option: &str,
        key: &str,
        value: impl Serialize,
        given: bool,
    ) -> Result<(), ExperimentError> {
        self.add(option, key, given.then_some(value))
    }

    /// Puts the settings over a draft whose last layer is of `--set`, if there is one.
    ///
    /// # Errors
    ///
    /// A setting that `--set` gives too.
    pub fn over(self, draft: Draft, set: Option<&Layer>) -> Result<Draft, String> {
        let twice = self.0.iter().find_map(|layer| {
            let key = layer.keys().into_iter().find(|key| set.is_some_and(|set| set.gives(key)))?;
            Some((key, layer.source()))
        });
        if let Some((key, option)) = twice {
            let key = key.strip_prefix("training.").unwrap_or(&key);
            return Err(format!("{key} is given by {option} and by --set; leave one of them out"));
        }
        Ok(self.0.into_iter().fold(draft, Draft::with_layer))
    }
}

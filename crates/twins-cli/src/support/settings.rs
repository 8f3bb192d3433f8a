use burn_twins::experiment::{Draft, ExperimentError, Layer};
use serde::Serialize;

/// The settings of an experiment that were given by options, each with the name of its option.
#[derive(Default)]
pub struct OptionSettings(Vec<Layer>);

impl OptionSettings {
    /// Adds a setting if the option was given.
    ///
    /// # Errors
    ///
    /// A value that the setting does not accept.
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
    /// No error occurs for a setting that exists.
    pub fn add_flag(
        &mut self,
        option: &str,
        key: &str,
        value: impl Serialize,
        given: bool,
    ) -> Result<(), ExperimentError> {
        self.add(option, key, given.then_some(value))
    }

    /// Adds the settings to a draft, on top of its layers. `set` is the layer of `--set`, if there is one.
    ///
    /// # Errors
    ///
    /// A setting that `--set` also gives.
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

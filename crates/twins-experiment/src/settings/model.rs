use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use twins_models::{
    Architecture, ImportOptions, ModelConfig, Normalisation, NormalisationSource, Rename, Shortcuts,
};
use twins_nn::Affine;

use crate::error::ExperimentError;

/// The model that an experiment starts from.
///
/// | name | default | purpose |
/// |---|---|---|
/// | `arch` | none: that of a model file of this library | layers ([`Architecture`]) |
/// | `weights` | none: drawn from the training's seed | file of initial weights; `"none"` removes the weights of an earlier layer |
/// | `head` | `fit` | treatment of the weights' last layer ([`Head`]) |
/// | `rename` | none | renames of entries in the weight file ([`Rename`]), applied in order |
/// | `normalisation` | none: the file's, or the architecture's | mean and standard deviation of the input ([`InputNormalisation`]) |
/// | `upsample` | none: that of a model file of this library | side length in pixels to which images are enlarged inside the model |
/// | `shortcuts` | none: those of the weights, padded without weights | shortcuts of a CIFAR ResNet ([`Shortcuts`]) |
/// | `affine` | none: that of a model file of this library, one per wing otherwise | whether the two wings share gamma and beta ([`Affine`]) |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct InitialModel {
    /// Layers; needed unless `weights` is a model file of this library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<Architecture>,
    /// File of initial weights.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "path_or_none")]
    pub weights: Option<PathBuf>,
    /// The treatment of the weights' last layer.
    pub head: Head,
    /// Renames of entries in the weight file, applied in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<Rename>,
    /// Mean and standard deviation of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<InputNormalisation>,
    /// Side length in pixels to which images are enlarged inside the model, by nearest-neighbour interpolation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upsample: Option<usize>,
    /// Shortcuts of a CIFAR ResNet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortcuts: Option<Shortcuts>,
    /// Whether the two wings share gamma and beta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affine: Option<Affine>,
}

impl Default for InitialModel {
    fn default() -> Self {
        Self {
            arch: None,
            weights: None,
            head: Head::Fit,
            rename: Vec::new(),
            normalisation: None,
            upsample: None,
            shortcuts: None,
            affine: None,
        }
    }
}

/// Reads a path or the word `none`; write `./none` for a file of that name.
fn path_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = Option::<PathBuf>::deserialize(deserializer)?;
    Ok(path.filter(|path| path.as_os_str() != "none"))
}

/// The treatment of the last layer of the initial weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// The head is kept if it matches the data's classes, and newly initialised otherwise.
    #[default]
    Fit,
    /// The head is always newly initialised.
    New,
}

impl InitialModel {
    /// Creates the settings of a network whose weights are drawn from the training's seed.
    pub fn random(arch: Architecture) -> Self {
        Self { arch: Some(arch), ..Self::default() }
    }

    /// Creates the settings of a network with the weights of a file. Weights other than model files of this library also need
    /// [`with_arch`](Self::with_arch).
    pub fn from_file(weights: impl Into<PathBuf>) -> Self {
        Self { weights: Some(weights.into()), ..Self::default() }
    }

    /// Sets the architecture.
    #[must_use]
    pub fn with_arch(mut self, arch: Architecture) -> Self {
        self.arch = Some(arch);
        self
    }

    /// The default configuration with every key present.
    pub(crate) fn full() -> Self {
        Self {
            arch: Some(Architecture::ResNet8),
            weights: Some(PathBuf::new()),
            rename: vec!["a=b".parse().expect("a valid expression")],
            normalisation: Some(InputNormalisation(None)),
            upsample: Some(1),
            shortcuts: Some(Shortcuts::Padded),
            affine: Some(Affine::Shared),
            ..Self::default()
        }
    }

    /// Checks the settings as far as possible without reading files.
    pub(crate) fn check(&self) -> Result<(), ExperimentError> {
        if self.weights.is_none() && !self.rename.is_empty() {
            return Err(ExperimentError::NeedsWeights { setting: "model.rename" });
        }
        if self.upsample == Some(0) {
            return Err(ExperimentError::Zero { setting: "model.upsample" });
        }
        Ok(())
    }

    /// Applies these settings to the network's configuration and the import options.
    pub fn apply(&self, config: ModelConfig, options: ImportOptions) -> (ModelConfig, ImportOptions) {
        let config = config.with_upsampling(self.upsample.map(|side| [side, side]));
        let config = config.with_shortcuts(self.shortcuts).with_affine(self.affine);
        let options = self.rename.iter().fold(options, |options, rename| options.with_rename(rename.clone()));
        match &self.normalisation {
            Some(InputNormalisation(given)) => (
                config.with_normalisation(given.clone()),
                options.with_normalisation(NormalisationSource::Model),
            ),
            None => (config, options),
        }
    }
}

/// Mean and standard deviation of the input, or none: `none`, `imagenet`, `cifar10`, `cifar100`, or one number per channel as
/// `MEAN,.../STD,...`.
///
/// ```
/// use twins_experiment::InputNormalisation;
///
/// let half: InputNormalisation = "0.5,0.5,0.5/0.25,0.25,0.25".parse()?;
/// assert_eq!(half.to_string(), "0.5,0.5,0.5/0.25,0.25,0.25");
/// assert!("0.5/0".parse::<InputNormalisation>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct InputNormalisation(pub Option<Normalisation>);

impl InputNormalisation {
    fn named() -> [(&'static str, Option<Normalisation>); 4] {
        [
            ("none", None),
            ("imagenet", Some(Normalisation::imagenet())),
            ("cifar10", Some(Normalisation::cifar10())),
            ("cifar100", Some(Normalisation::cifar100())),
        ]
    }
}

impl FromStr for InputNormalisation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, normalisation)) = Self::named().into_iter().find(|(name, _)| *name == text) {
            return Ok(Self(normalisation));
        }
        let numbers = |list: &str| list.split(',').map(|number| number.trim().parse::<f32>().ok()).collect();
        let lists = text.split_once('/').map(|(mean, std)| (numbers(mean), numbers(std)));
        let Some((Some(mean), Some(std))) = lists else {
            return Err(format!(
                "`{text}` is no normalisation; give none, imagenet, cifar10, cifar100 or MEAN,.../STD,..., for instance \
                 0.5,0.5,0.5/0.25,0.25,0.25"
            ));
        };
        Ok(Self(Some(Normalisation::new(mean, std).map_err(|error| error.to_string())?)))
    }
}

impl fmt::Display for InputNormalisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = Self::named().into_iter().find(|(_, named)| *named == self.0) {
            return f.write_str(name);
        }
        let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        match &self.0 {
            Some(normalisation) => write!(f, "{}/{}", list(normalisation.mean()), list(normalisation.std())),
            None => f.write_str("none"),
        }
    }
}

impl TryFrom<String> for InputNormalisation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<InputNormalisation> for String {
    fn from(normalisation: InputNormalisation) -> Self {
        normalisation.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisations_round_trip() {
        for text in ["none", "imagenet", "cifar10", "cifar100", "0.25/0.5", "0.1,0.2,0.3/1,2,3"] {
            let normalisation: InputNormalisation = text.parse().unwrap();
            assert_eq!(normalisation.to_string(), text);
            let json = serde_json::to_string(&normalisation).unwrap();
            assert_eq!(serde_json::from_str::<InputNormalisation>(&json).unwrap(), normalisation);
        }
        for (text, part) in
            [("imagnet", "imagenet"), ("0.5", "MEAN"), ("0.5/x", "MEAN"), ("0.5/0", "positive")]
        {
            let message = text.parse::<InputNormalisation>().unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}

use serde::{Deserialize, Serialize};
use serde_json::Value;
use twins_data::DataSource;
use twins_files::{one_line, shortened};
use twins_models::{HeldOut, ModelConfig};

use crate::data::{ImageFileHashes, Parts};
use crate::error::ExperimentError;
use crate::model::{ChosenHead, FileHash, InitialNet};
use crate::settings::{ExperimentConfig, plain};

/// The content of `experiment.json`: the settings of a run, and the inputs that they resolved to at its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Identity {
    /// The settings.
    pub(crate) settings: ExperimentConfig,
    /// The inputs that affect the trained weights and are not part of the settings.
    pub(crate) resolved: ResolvedInputs,
}

/// The inputs that settings resolved to. They are recorded because files may change while their names remain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResolvedInputs {
    /// The number of images of each part.
    pub images: ImageCounts,
    /// Hashes of the images of each part.
    #[serde(default)]
    pub image_files: ImageFileHashes,
    /// Names of the classes, in the order of the labels.
    pub classes: Vec<String>,
    /// The split that selected the test images, if the data has no test part of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// Size and hash of the file of initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<FileHash>,
    /// The network before a new head.
    pub model: ModelConfig,
    /// The treatment of the head: `kept`, `new`, or `random` without weights.
    pub head: String,
}

/// The number of images of each part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImageCounts {
    /// The number of training images, before a split for validation.
    pub train: usize,
    /// The number of images in the data's own validation part, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<usize>,
    /// The number of test images.
    pub test: usize,
}

impl Identity {
    pub(crate) fn new(
        settings: &ExperimentConfig,
        parts: &Parts,
        InitialNet { net, head }: &InitialNet,
    ) -> Result<Self, ExperimentError> {
        let weights = settings.model.weights.as_deref().map(FileHash::of).transpose()?;
        let images = ImageCounts {
            train: parts.train.len(),
            validation: parts.validation.as_ref().map(|images| images.len()),
            test: parts.test.len(),
        };
        let resolved = ResolvedInputs {
            images,
            image_files: ImageFileHashes::of(parts)?,
            classes: parts.train.classes().to_vec(),
            held_out: parts.held_out.clone(),
            weights,
            model: net.config().clone(),
            head: ChosenHead::name(head).to_owned(),
        };
        Ok(Self { settings: settings.clone(), resolved })
    }

    /// Every difference in settings that prevents resuming a run, with both values. The number of epochs may increase, and evaluation,
    /// devices, logs and the folder of image files may change.
    pub(crate) fn differences(&self, recorded: &Self) -> Vec<String> {
        let may_move = self.has_same_kind_of_image_files(recorded);
        let values = [recorded, self].map(|identity| {
            let mut data = identity.settings.data.clone();
            data.cache_mib = 0;
            if may_move {
                data.source = recorded.settings.data.source.clone();
            }
            let resolved =
                ResolvedInputs { image_files: ImageFileHashes::default(), ..identity.resolved.clone() };
            let mut value = plain(&resolved);
            value["data"] = plain(&data);
            value["rename"] = plain(&identity.settings.model.rename);
            value
        });
        let mut found = Vec::new();
        collect_differences("", &values[0], &values[1], &mut found);
        found.extend(self.resolved.image_files.differences(&recorded.resolved.image_files));
        let training = self.settings.training.check_resumes(&recorded.settings.training).err();
        found.extend(training.map(|difference| one_line(&difference).into_owned()));
        found
    }

    /// Whether both runs read image files in the same layout, and their hashes are known, which are compared instead of the folders.
    fn has_same_kind_of_image_files(&self, recorded: &Self) -> bool {
        let of_known_files = |identity: &Self| identity.resolved.image_files.train.is_some();
        let same_layout = match (&self.settings.data.source, &recorded.settings.data.source) {
            (DataSource::Folder(_), DataSource::Folder(_)) => true,
            (DataSource::Listed(layout, _), DataSource::Listed(recorded, _)) => layout == recorded,
            _ => false,
        };
        same_layout && of_known_files(self) && of_known_files(recorded)
    }

    /// Whether a finished run with these settings can be reused.
    pub(crate) fn is_same_run(&self, recorded: &Self) -> bool {
        let same = |a: &ExperimentConfig, b: &ExperimentConfig| {
            a.training == b.training && a.evaluation == b.evaluation
        };
        self.differences(recorded).is_empty() && same(&self.settings, &recorded.settings)
    }
}

#[cfg(test)]
impl ResolvedInputs {
    /// Inputs of a training from random weights, for tests.
    pub(crate) fn example() -> Self {
        Self {
            images: ImageCounts { train: 900, validation: None, test: 100 },
            image_files: ImageFileHashes::default(),
            classes: vec!["a".to_owned(), "b".to_owned()],
            held_out: None,
            weights: None,
            model: ModelConfig::new(twins_models::Architecture::TinyResNet, 2),
            head: "random".to_owned(),
        }
    }
}

/// Adds a line for every difference between two JSON values, with its path and both values.
pub(crate) fn collect_differences(path: &str, recorded: &Value, given: &Value, found: &mut Vec<String>) {
    match (recorded, given) {
        (Value::Object(old), Value::Object(new)) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let path = if path.is_empty() || path.ends_with(' ') {
                    format!("{path}{key}")
                } else {
                    format!("{path}.{key}")
                };
                collect_differences(&path, &recorded[key], &given[key], found);
            }
        }
        _ if recorded == given => {}
        _ => found.push(format!("{} was {} and is now {}", one_line(path), shown(recorded), shown(given))),
    }
}

/// A value, shortened to fit on a line.
fn shown(value: &Value) -> String {
    const LENGTH: usize = 81;
    shortened(&value.to_string(), LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::DataConfig;

    fn identity(source: &str, hash: Option<&str>) -> Identity {
        let files = ImageFileHashes { train: hash.map(str::to_owned), ..ImageFileHashes::default() };
        Identity {
            settings: ExperimentConfig {
                data: DataConfig::new(source.parse().unwrap()),
                ..ExperimentConfig::default()
            },
            resolved: ResolvedInputs { image_files: files, ..ResolvedInputs::example() },
        }
    }

    #[test]
    fn image_files_may_be_in_another_folder() {
        let recorded = identity("folder:images", Some("1"));
        let differences = |source, hash| identity(source, hash).differences(&recorded);
        assert_eq!(differences("folder:../images/", Some("1")), Vec::<String>::new());
        let other = differences("folder:elsewhere", Some("2"));
        assert!(other.len() == 1 && other[0].contains("an image of the training part"), "{other:?}");
        let dtd = identity("dtd:a", Some("1"));
        assert_eq!(identity("dtd:b", Some("1")).differences(&dtd), Vec::<String>::new());

        // Files of another layout, files that an earlier version did not record, and data of another kind.
        for (given, recorded) in [
            (identity("list:images/list.tsv", Some("1")), &recorded),
            (identity("dtd@2:a", Some("1")), &dtd),
            (identity("folder:elsewhere", Some("1")), &identity("folder:images", None)),
            (identity("cifar10:b", None), &identity("cifar10:a", None)),
        ] {
            let found = given.differences(recorded);
            assert!(found.len() == 1 && found[0].starts_with("data.source was \""), "{found:?}");
        }
    }
}

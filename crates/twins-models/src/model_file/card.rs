//! The description of a model in its model file.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::architectures::architecture::Architecture;
use crate::error::ModelError;
use crate::import::checkpoint::Checkpoint;
use crate::model_file::held_out::HeldOut;
use crate::model_file::saved_checkpoint::SavedCheckpoint;
use crate::network::config::ModelConfig;
use crate::network::net::Net;

/// The key of the card in the metadata of the file.
pub(super) const CARD: &str = "burn-twins";

/// The description of a model that its model file contains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelCard {
    /// The configuration of the network.
    config: ModelConfig,
    /// Names of the classes, in the order of the logits; numbers from 0 if they have no names.
    classes: Vec<String>,
    /// The version of this library that saved the file.
    library_version: String,
    /// The images that were held out from training; `None` if the data had its own test part, or if the network was not
    /// trained by this library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_out: Option<HeldOut>,
    /// The checkpoint of a training that the network is; `None` if it was not trained by this library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<SavedCheckpoint>,
    /// The preprocessing (resize and crop) of the image files that the network was trained on, such as `256/224`; `None` if this
    /// library did not train it on image files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preprocessing: Option<String>,
}

impl ModelCard {
    /// Creates the card of a network, with the class names in the order of the logits.
    ///
    /// # Errors
    ///
    /// [`ModelError::ClassNames`] unless there is one name per class and all names differ.
    pub fn new(net: &Net, classes: Vec<String>) -> Result<Self, ModelError> {
        let different = classes.iter().collect::<BTreeSet<_>>().len();
        if different != net.num_classes() || classes.len() != net.num_classes() {
            return Err(ModelError::ClassNames { found: different, expected: net.num_classes() });
        }
        Ok(Self {
            config: net.config().clone(),
            classes,
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            held_out: None,
            checkpoint: None,
            preprocessing: None,
        })
    }

    pub(super) fn with_config(mut self, config: ModelConfig) -> Self {
        self.config = config;
        self
    }

    /// Records the images that were held out from training, so that they can be selected again.
    pub fn with_held_out(mut self, held_out: Option<HeldOut>) -> Self {
        self.held_out = held_out;
        self
    }

    /// The images that were held out from training; `None` if the data had its own test part, or if the network was not
    /// trained by this library.
    pub fn held_out(&self) -> Option<&HeldOut> {
        self.held_out.as_ref()
    }

    /// Records which checkpoint of a training the network is.
    pub fn with_checkpoint(mut self, checkpoint: Option<SavedCheckpoint>) -> Self {
        self.checkpoint = checkpoint;
        self
    }

    /// The checkpoint of a training that the network is; `None` if it was not trained by this library.
    pub fn checkpoint(&self) -> Option<SavedCheckpoint> {
        self.checkpoint
    }

    /// Records the preprocessing (resize and crop) of the image files that the network was trained on, in the form of the option
    /// `--preprocessing`.
    pub fn with_preprocessing(mut self, preprocessing: Option<String>) -> Self {
        self.preprocessing = preprocessing;
        self
    }

    /// The preprocessing (resize and crop) of the image files that the network was trained on; `None` if this library did not train
    /// it on image files.
    pub fn preprocessing(&self) -> Option<&str> {
        self.preprocessing.as_deref()
    }

    /// The configuration of the network: architecture, normalisation, up-sampling, image size.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Names of the classes, in the order of the logits.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The version of this library that saved the file.
    pub fn library_version(&self) -> &str {
        &self.library_version
    }

    /// Checks that the file at `path` contains the requested architecture and number of classes.
    ///
    /// # Errors
    ///
    /// [`ModelError::WrongArchitecture`] or [`ModelError::WrongClassCount`].
    pub fn expect(&self, path: &Path, arch: Architecture, num_classes: usize) -> Result<(), ModelError> {
        let path = path.to_owned();
        let found = self.config.architecture();
        if found != arch {
            return Err(ModelError::WrongArchitecture { path, found, expected: arch });
        }
        let found = self.config.num_classes();
        if found != num_classes {
            return Err(ModelError::WrongClassCount { path, found, expected: num_classes });
        }
        Ok(())
    }

    /// The class names; `None` if the model was saved without names and its classes are numbered from 0.
    pub fn class_names(&self) -> Option<&[String]> {
        let numbered = self.classes.iter().enumerate().all(|(index, name)| *name == index.to_string());
        (!numbered).then_some(&self.classes)
    }

    /// Checks that the labels of a data set with these classes have the same meaning as the logits of the model at
    /// `path`: the number of classes must be equal, and if the model has class names, the names and their order must be
    /// equal too.
    ///
    /// # Errors
    ///
    /// [`ModelError::OtherClasses`].
    pub fn check_classes(&self, path: &Path, classes: &[String]) -> Result<(), ModelError> {
        let fits = match self.class_names() {
            Some(names) => names == classes,
            None => self.classes.len() == classes.len(),
        };
        if fits {
            return Ok(());
        }
        let (path, expected, found) = (path.to_owned(), self.classes.clone(), classes.to_vec());
        Err(ModelError::OtherClasses { path, expected, found })
    }

    /// Reads the card of a model file.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotAModelFile`] if the file has no card, [`ModelError::DamagedCard`], and the errors of reading weight files.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::of_model_file(&Checkpoint::open(path.as_ref())?)
    }

    /// Reads the card of an opened model file.
    pub(super) fn of_model_file(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        Self::of_checkpoint(checkpoint)?.ok_or_else(|| ModelError::NotAModelFile {
            path: checkpoint.path.clone(),
            reason: format!("it has no {CARD:?} metadata"),
        })
    }

    /// Reads the card of an opened file; `None` for a file of another program.
    pub(crate) fn of_checkpoint(checkpoint: &Checkpoint) -> Result<Option<Self>, ModelError> {
        let Some(json) = checkpoint.metadata.get(CARD) else {
            return Ok(None);
        };
        let damaged = |reason: String| ModelError::DamagedCard { path: checkpoint.path.clone(), reason };
        let card: Self = serde_json::from_str(json).map_err(|error| damaged(error.to_string()))?;
        // Its message does not name the file.
        card.config.check().map_err(|error| damaged(error.to_string()))?;
        if card.classes.len() != card.config.num_classes() {
            return Err(damaged("it names another number of classes than it has".to_owned()));
        }
        Ok(Some(card))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model_file::file::save_model;

    #[test]
    fn held_out_images_checkpoint_and_preprocessing_are_saved() {
        let net = ModelConfig::new(Architecture::ResNet8, 2).init(&Device::flex()).unwrap();
        let card = ModelCard::new(&net, vec!["cat".to_owned(), "dog".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        for held_out in [None, Some(HeldOut { images: 120, fraction: 0.2, seed: 3 })] {
            let card = card.clone().with_held_out(held_out.clone());
            save_model(&path, &net, &card).unwrap();
            assert_eq!(ModelCard::read(&path).unwrap().held_out(), held_out.as_ref());
        }
        for checkpoint in
            [None, Some(SavedCheckpoint::Best), Some(SavedCheckpoint::Last), Some(SavedCheckpoint::Averaged)]
        {
            save_model(&path, &net, &card.clone().with_checkpoint(checkpoint)).unwrap();
            assert_eq!(ModelCard::read(&path).unwrap().checkpoint(), checkpoint);
        }
        for preprocessing in [None, Some("256/224".to_owned())] {
            save_model(&path, &net, &card.clone().with_preprocessing(preprocessing.clone())).unwrap();
            assert_eq!(ModelCard::read(&path).unwrap().preprocessing(), preprocessing.as_deref());
        }
        // Cards of files that are older than these records.
        let text = serde_json::to_string(&card).unwrap();
        assert!(!["held_out", "checkpoint", "preprocessing"].iter().any(|key| text.contains(key)), "{text}");
        assert_eq!(serde_json::from_str::<ModelCard>(&text).unwrap(), card);
    }

    #[test]
    fn classes_are_compared_by_name_and_order_where_they_have_names() {
        let net = ModelConfig::new(Architecture::ResNet8, 3).init(&Device::flex()).unwrap();
        let names = |names: [&str; 3]| names.map(str::to_owned).to_vec();
        let path = Path::new("model.safetensors");
        let named = ModelCard::new(&net, names(["cat", "dog", "frog"])).unwrap();
        assert!(named.check_classes(path, &names(["cat", "dog", "frog"])).is_ok());
        for other in [names(["cat", "frog", "dog"]), names(["cat", "dog", "ship"]), names(["0", "1", "2"])] {
            let message = named.check_classes(path, &other).unwrap_err().to_string();
            assert!(message.contains("the classes 3 (cat, dog, frog); the data has 3 ("), "{message}");
        }
        assert!(named.check_classes(path, &names(["cat", "dog", "frog"])[..2]).is_err());

        // Names beyond those that are listed.
        let net = ModelConfig::new(Architecture::ResNet8, 12).init(&Device::flex()).unwrap();
        let many: Vec<String> = (0..12).map(|class| format!("class {class}")).collect();
        let mut swapped = many.clone();
        swapped.swap(10, 11);
        let card = ModelCard::new(&net, many).unwrap();
        let message = card.check_classes(path, &swapped).unwrap_err().to_string();
        let difference = "; label 10 is class 10 for the model and class 11 in the data:";
        assert!(message.contains(difference), "{message}");

        let net = ModelConfig::new(Architecture::ResNet8, 3).init(&Device::flex()).unwrap();
        let numbered = ModelCard::new(&net, names(["0", "1", "2"])).unwrap();
        assert_eq!(numbered.class_names(), None);
        assert!(numbered.check_classes(path, &names(["cat", "dog", "frog"])).is_ok());
        assert!(numbered.check_classes(path, &names(["cat", "dog", "frog"])[..2]).is_err());
    }
}

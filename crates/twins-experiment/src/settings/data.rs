use serde::{Deserialize, Serialize};
use twins_data::{Augmentation, DataSource, Limit, Preprocessing, Task};

/// The images of an experiment.
///
/// | name | default | purpose |
/// |---|---|---|
/// | `source` | `builtin` | where the images come from ([`DataSource`]) |
/// | `train_images` | none: all | limit on the training images ([`Limit`]) |
/// | `test_images` | none: all | limit on the test images, and on the images of a validation part |
/// | `preprocessing` | `as-stored` | resize and crop of image files ([`Preprocessing`]) |
/// | `skip_non_images` | false | whether files of a folder that are not images are skipped instead of being an error |
/// | `cache_mib` | 512 | memory for decoded image files, in MiB |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Where the images come from.
    pub source: DataSource,
    /// The training images that are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_images: Option<Limit>,
    /// The test images that are used, and the images of a validation part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_images: Option<Limit>,
    /// How image files are resized and cropped.
    pub preprocessing: Preprocessing,
    /// Whether files of a folder that are not images are skipped.
    pub skip_non_images: bool,
    /// Memory for decoded image files, in MiB.
    pub cache_mib: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            source: DataSource::Builtin(Task::Target),
            train_images: None,
            test_images: None,
            preprocessing: Preprocessing::AsStored,
            skip_non_images: false,
            cache_mib: 512,
        }
    }
}

impl DataConfig {
    /// Creates the default configuration for a source.
    pub fn new(source: DataSource) -> Self {
        Self { source, ..Self::default() }
    }

    /// Limits the images of each part.
    #[must_use]
    pub fn with_limit(mut self, limit: Option<Limit>) -> Self {
        (self.train_images, self.test_images) = (limit, limit);
        self
    }

    /// The default configuration with every key present.
    pub(crate) fn full() -> Self {
        Self::default().with_limit(Some(Limit::First(1)))
    }

    /// The preprocessing that a model file records; `None` if the images are not files of their own.
    pub(crate) fn recorded_preprocessing(&self) -> Option<String> {
        self.source.has_image_files().then(|| self.preprocessing.to_string())
    }

    /// The default augmentation of training images. Letters and digits are not flipped, because a mirrored symbol is a different one.
    /// Images that are cropped for the test are cropped at random for the training. Other images get the augmentation of CIFAR.
    pub(crate) fn usual_augmentation(&self) -> AugmentationName {
        match self.source {
            DataSource::Builtin(_) | DataSource::Mnist(_) => AugmentationName::Crop,
            _ if self.preprocessing != Preprocessing::AsStored => AugmentationName::Imagenet,
            _ => AugmentationName::Cifar,
        }
    }
}

/// Random changes to training images by name, with torchvision's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AugmentationName {
    /// None.
    None,
    /// Crops with 2 pixels of padding.
    Crop,
    /// Crops with 4 pixels of padding, and flips.
    Cifar,
    /// Resized crops of 8 % to 100 % of the stored image, and flips.
    Imagenet,
}

impl AugmentationName {
    /// Every name.
    pub const ALL: [Self; 4] = [Self::None, Self::Crop, Self::Cifar, Self::Imagenet];

    /// Returns the augmentation of that name.
    pub fn augmentation(self) -> Augmentation {
        match self {
            Self::None => Augmentation::new(),
            Self::Crop => Augmentation::new().with_crop_padding(2),
            Self::Cifar => Augmentation::cifar(),
            Self::Imagenet => Augmentation::imagenet(),
        }
    }
}

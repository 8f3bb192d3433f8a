use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use twins_data::{Augmentation, Preprocessing, RandomResizedCrop};

use super::method::Method;
use super::train_config::{TrainConfig, ValidationConfig};
use crate::error::TrainError;

/// A published training configuration, selected by name.
///
/// Both presets train a ResNet-50 with robust ImageNet weights (Linf 4/255) by TWINS-AT. They use SGD with momentum
/// 0.9, learning rate 0.003, × 0.1 after epochs 30 and 50 of 60, batches of 128, no warm-up, PGD-10 within 8/255 with
/// steps of 2/255 (Liu et al., "TWINS", CVPR 2023, section 4; arXiv 2303.11135).
///
/// | name | weight decay | lambda | augmentation | images |
/// |---|---|---|---|---|
/// | `paper-cifar` | 1e-5 | 1 | crop with 4 pixels of padding, flip | 32 × 32, enlarged to 224 × 224 inside the model |
/// | `paper-caltech` | 1e-3 | 0.4 | shorter side to 256, resized crop, flip | cut to 224 × 224 |
///
/// No images are held out, so the last weights are the result (their moving average with `ema_decay`) ([`ValidationConfig::none`]).
///
/// The training configuration does not include the preprocessing and the upsampling of images; see
/// [`preprocessing`](Self::preprocessing) and [`upsampling`](Self::upsampling).
///
/// ```
/// use twins_train::Preset;
///
/// # fn main() -> Result<(), twins_train::TrainError> {
/// let config = "paper-caltech".parse::<Preset>()?.config();
/// assert_eq!((config.lambda, config.weight_decay), (0.4, 1e-3));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// CIFAR-10 and CIFAR-100.
    PaperCifar,
    /// Caltech-256.
    PaperCaltech,
}

/// The length in pixels to which the shorter side of Caltech-256's images is resized before cropping, in training and
/// in the test.
const CALTECH_SIDE: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not 0");

impl Preset {
    /// All presets.
    pub const ALL: [Preset; 2] = [Preset::PaperCifar, Preset::PaperCaltech];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Preset::PaperCifar => "paper-cifar",
            Preset::PaperCaltech => "paper-caltech",
        }
    }

    /// The training configuration.
    pub fn config(self) -> TrainConfig {
        let paper = TrainConfig::new(Method::TwinsAt).with_validation(ValidationConfig::none());
        match self {
            Preset::PaperCifar => paper.with_augmentation(Augmentation::cifar()),
            Preset::PaperCaltech => {
                let crop = RandomResizedCrop::default().with_shorter_side(CALTECH_SIDE);
                let augmentation = Augmentation::new().with_resized_crop(crop).with_horizontal_flip();
                paper.with_weight_decay(1e-3).with_lambda(0.4).with_augmentation(augmentation)
            }
        }
    }

    /// Height and width in pixels to which the model upsamples its images (nearest neighbour); `None` without
    /// upsampling.
    pub fn upsampling(self) -> Option<usize> {
        match self {
            Preset::PaperCifar => Some(224),
            Preset::PaperCaltech => None,
        }
    }

    /// The preprocessing (resize and crop) of stored images for evaluation.
    pub fn preprocessing(self) -> Preprocessing {
        match self {
            Preset::PaperCifar => Preprocessing::AsStored,
            Preset::PaperCaltech => Preprocessing::ResizeCrop { resize: CALTECH_SIDE.get(), crop: 224 },
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = TrainError;

    fn from_str(name: &str) -> Result<Self, TrainError> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == name)
            .ok_or_else(|| TrainError::UnknownPreset { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AdversaryConfig;
    use crate::optimisers::Schedule;

    #[test]
    fn values_are_the_published_ones() {
        for preset in Preset::ALL {
            let config = preset.config();
            config.validate().unwrap();
            assert_eq!(config.method, Method::TwinsAt);
            assert_eq!((config.epochs, config.batch_size, config.learning_rate), (60, 128, 0.003));
            assert_eq!((config.momentum, config.warmup_epochs), (0.9, 0.0));
            assert_eq!(config.schedule, Schedule::MultiStep { milestones: vec![30, 50], gamma: 0.1 });
            assert_eq!(config.adversary, AdversaryConfig::default());
            assert_eq!(config.validation.fraction, None);
            assert_eq!(preset.name().parse::<Preset>().unwrap(), preset);
        }
        let [cifar, caltech] = Preset::ALL.map(Preset::config);
        assert_eq!((cifar.lambda, cifar.weight_decay), (1.0, 1e-5));
        assert_eq!((caltech.lambda, caltech.weight_decay), (0.4, 1e-3));
        assert_eq!(cifar.augmentation, Augmentation::new().with_crop_padding(4).with_horizontal_flip());
        let crop = RandomResizedCrop::default().with_shorter_side(NonZeroUsize::new(256).unwrap());
        assert_eq!(caltech.augmentation, Augmentation::new().with_resized_crop(crop).with_horizontal_flip());
        let preprocessing = Preset::ALL.map(Preset::preprocessing);
        assert_eq!(preprocessing, [Preprocessing::AsStored, Preprocessing::IMAGENET]);
        assert_eq!(Preset::ALL.map(Preset::upsampling), [Some(224), None]);
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        let message = "paper-mnist".parse::<Preset>().unwrap_err().to_string();
        assert!(message.contains("\"paper-mnist\"") && message.contains("paper-caltech"), "{message}");
    }
}

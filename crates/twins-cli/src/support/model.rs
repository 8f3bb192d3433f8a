use burn_twins::experiment::{ExperimentError, InitialModel, InputNormalisation};
use burn_twins::models::{Rename, Shortcuts};
use clap::Args;

use super::OptionSettings;

/// Properties of the model that weight files of other programs do not record.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub struct ModelOptions {
    /// Input normalisation that the model was trained with: none, imagenet, cifar10, cifar100, or MEAN,.../STD,... [default: the file's, or
    /// the architecture's].
    #[arg(long)]
    pub normalisation: Option<InputNormalisation>,

    /// Enlarge images to N x N pixels inside the model, by nearest-neighbour interpolation.
    #[arg(long, value_name = "N")]
    pub upsample: Option<usize>,

    /// Rename entries of the weight file: a regular expression and the replacement of its matches, such as '^backbone\.=' or
    /// '^block(\d)_conv=layer$1.0.conv'. May be given several times; the renames are applied in order.
    #[arg(long, value_name = "REGEX=TO")]
    pub rename: Vec<Rename>,

    /// Shortcuts of a CIFAR ResNet: padded (He's option A) or projected (option B) [default: the file's; padded without weights].
    #[arg(long, value_name = "padded|projected", value_parser = shortcuts)]
    pub shortcuts: Option<Shortcuts>,
}

impl ModelOptions {
    /// The settings of the model, without weights and architecture.
    pub fn config(&self) -> InitialModel {
        InitialModel {
            rename: self.rename.clone(),
            normalisation: self.normalisation.clone(),
            upsample: self.upsample,
            shortcuts: self.shortcuts,
            ..InitialModel::default()
        }
    }

    /// Adds the settings of the options that were given.
    ///
    /// # Errors
    ///
    /// No error occurs for values that the command line accepts.
    pub fn settings(&self, settings: &mut OptionSettings) -> Result<(), ExperimentError> {
        settings.add("--normalisation", "model.normalisation", self.normalisation.as_ref())?;
        settings.add("--upsample", "model.upsample", self.upsample)?;
        settings.add("--rename", "model.rename", (!self.rename.is_empty()).then_some(&self.rename))?;
        settings.add("--shortcuts", "model.shortcuts", self.shortcuts)
    }
}

fn shortcuts(text: &str) -> Result<Shortcuts, String> {
    match text {
        "padded" => Ok(Shortcuts::Padded),
        "projected" => Ok(Shortcuts::Projected),
        _ => Err("give padded or projected".to_owned()),
    }
}

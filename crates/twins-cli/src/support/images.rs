use burn_twins::data::{DataSource, Limit, Preprocessing};
use burn_twins::experiment::{DataConfig, ExperimentError};
use clap::Args;

use super::OptionSettings;

/// Options for reading images from a data source.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images")]
pub struct ImageOptions {
    /// Preprocessing of image files (resize and crop): as-stored, RESIZE/CROP in pixels, or imagenet for 256/224 [default: as-stored; evaluate: that
    /// of the training, if the model file records it].
    #[arg(long, alias = "framing")]
    pub preprocessing: Option<Preprocessing>,

    /// Skip and list the files in a folder that are not images, instead of reporting an error.
    #[arg(long)]
    pub skip_non_images: bool,

    /// Memory for decoded image files, in MiB [default: 512].
    #[arg(long)]
    pub cache_mib: Option<usize>,

    /// Use only N images of each part, drawn with a fixed seed and each class in proportion; first:N uses the first N.
    #[arg(long, value_name = "N|first:N")]
    pub limit: Option<Limit>,
}

impl ImageOptions {
    /// The images of a source; options that were not given have their defaults.
    pub fn config(&self, source: &DataSource) -> DataConfig {
        let usual = DataConfig::new(source.clone()).with_limit(self.limit);
        DataConfig {
            preprocessing: self.preprocessing.unwrap_or(usual.preprocessing),
            skip_non_images: self.skip_non_images,
            cache_mib: self.cache_mib.unwrap_or(usual.cache_mib),
            ..usual
        }
    }

    /// Adds the settings of the options that were given.
    ///
    /// # Errors
    ///
    /// No error occurs for values that the command line accepts.
    pub fn settings(&self, settings: &mut OptionSettings) -> Result<(), ExperimentError> {
        settings.add("--preprocessing", "data.preprocessing", self.preprocessing)?;
        settings.add_flag("--skip-non-images", "data.skip_non_images", true, self.skip_non_images)?;
        settings.add("--cache-mib", "data.cache_mib", self.cache_mib)?;
        settings.add("--limit", "data.train_images", self.limit)?;
        settings.add("--limit", "data.test_images", self.limit)
    }
}

use burn_twins::data::{DataSource, Framing, Limit};
use burn_twins::experiment::{DataConfig, ExperimentError};
use clap::Args;

use super::OptionSettings;

/// How images come from a data source.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images")]
pub struct ImageOptions {
    /// How image files are brought to one size: as-stored, RESIZE/CROP in pixels, or imagenet for 256/224 [default: as-stored].
    #[arg(long)]
    pub framing: Option<Framing>,

    /// Leave out files of a folder that are no images, and list them, instead of refusing the folder.
    #[arg(long)]
    pub skip_non_images: bool,

    /// Memory for decoded image files, in MiB [default: 512].
    #[arg(long)]
    pub cache_mib: Option<usize>,

    /// Use N images of each part, each class in proportion, drawn with a fixed seed; first:N uses the first N.
    #[arg(long, value_name = "N|first:N")]
    pub limit: Option<Limit>,
}

impl ImageOptions {
    /// The images of a source, with defaults for what was not given.
    pub fn config(&self, source: &DataSource) -> DataConfig {
        let usual = DataConfig::new(source.clone()).with_limit(self.limit);
        DataConfig {
            preprocessing: self.framing.unwrap_or(usual.preprocessing),
            skip_non_images: self.skip_non_images,
            cache_mib: self.cache_mib.unwrap_or(usual.cache_mib),
            ..usual
        }
    }

    /// The settings that were given.
    ///
    /// # Errors
    ///
    /// None for values that the command line takes.
    pub fn settings(&self, settings: &mut OptionSettings) -> Result<(), ExperimentError> {
        settings.add("--framing", "data.preprocessing", self.framing)?;
        settings.add_flag("--skip-non-images", "data.skip_non_images", true, self.skip_non_images)?;
        settings.add("--cache-mib", "data.cache_mib", self.cache_mib)?;
        settings.add("--limit", "data.train_images", self.limit)?;
        settings.add("--limit", "data.test_images", self.limit)
    }
}

use std::sync::Arc;

use twins_data::{DataError, FolderConfig, ImageDataset, Limit, NonImages, Part};

use crate::error::ExperimentError;
use crate::notice::{Notice, Notify};
use crate::settings::DataConfig;

impl DataConfig {
    /// Opens a part of the data. For a folder, `classes` may give the classes of a model.
    pub(crate) fn open(
        &self,
        part: Part,
        classes: Option<&[String]>,
        notify: &Notify,
    ) -> Result<Arc<dyn ImageDataset>, ExperimentError> {
        let dataset = self.source.open_with(part, |folder| self.configure(folder, classes))?;
        for path in dataset.skipped() {
            notify(Notice::Warning(format!("skipped, no image: {}", path.display())));
        }
        Ok(dataset)
    }

    fn configure(&self, folder: FolderConfig, classes: Option<&[String]>) -> FolderConfig {
        let non_images = if self.skip_non_images { NonImages::Skip } else { NonImages::Refuse };
        let cache_bytes = self.cache_mib.saturating_mul(1 << 20);
        let folder = folder
            .with_preprocessing(self.preprocessing)
            .with_non_images(non_images)
            .with_cache_bytes(cache_bytes);
        match classes {
            Some(classes) => folder.with_classes(classes.to_vec()),
            None => folder,
        }
    }
}

/// Limits the images, and notifies of the images that are left out.
pub(super) fn limited(
    part: &str,
    dataset: Arc<dyn ImageDataset>,
    limit: Option<Limit>,
    notify: &Notify,
) -> Result<Arc<dyn ImageDataset>, DataError> {
    let all = dataset.len();
    let Some(limit) = limit.filter(|limit| limit.count() < all) else { return Ok(dataset) };
    let used = limit.apply(dataset)?;
    let mut counts = vec![0; used.classes().len()];
    for label in used.labels()? {
        counts[label] += 1;
    }
    let (least, most) =
        (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    let classes = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let rule = match limit {
        Limit::Stratified(count) => format!(
            "each class in proportion, drawn with seed {}; first:{count} takes the first",
            Limit::SEED
        ),
        Limit::First(_) => "the first in the data set's order".to_owned(),
    };
    let text = format!("{part}: {} of {all} images, {classes} of each class ({rule})", used.len());
    notify(Notice::Progress(text));
    Ok(used)
}

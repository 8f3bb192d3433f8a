use std::path::PathBuf;
use std::sync::Arc;

use crate::error::DataError;
use crate::images::cache::{Cache, View};
use crate::images::decode::{Channels, decode};
use crate::images::image::Image;
use crate::images::preprocessing::Preprocessing;

/// Reads image files: decodes them on access, applies the preprocessing (resize and crop), and caches them up to a
/// number of bytes.
#[derive(Debug, Clone)]
pub(crate) struct ImageFiles {
    channels: Channels,
    preprocessing: Preprocessing,
    // Shared by clones.
    cache: Arc<Cache>,
}

impl ImageFiles {
    pub(crate) fn new(channels: Channels, preprocessing: Preprocessing, cache_bytes: usize) -> Self {
        Self { channels, preprocessing, cache: Arc::new(Cache::new(cache_bytes)) }
    }

    /// Returns the image of a sample; `path` returns the path of its file.
    pub(crate) fn image(
        &self,
        index: usize,
        view: View,
        path: impl FnOnce() -> PathBuf,
    ) -> Result<Image, DataError> {
        // Images that are used as stored have only one form, and need only one entry in the cache.
        let view = if self.preprocessing == Preprocessing::AsStored { View::Original } else { view };
        self.cache.get(index, view, || {
            let image = decode(&path(), self.channels)?;
            Ok(match view {
                View::Original => image,
                View::Preprocessed => self.preprocessing.apply(image),
            })
        })
    }

    /// Returns the preprocessed image of a sample, which must have the same shape as the other images.
    pub(crate) fn of_shape(
        &self,
        expected: [usize; 3],
        index: usize,
        path: impl Fn() -> PathBuf,
    ) -> Result<Image, DataError> {
        let image = self.image(index, View::Preprocessed, &path)?;
        if image.shape != expected {
            return Err(DataError::MixedSizes { path: path(), found: image.shape, expected });
        }
        Ok(image)
    }
}

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::images::image::Image;

/// Decoded images, up to a number of bytes.
///
/// What has come first stays. Training reads every image once per epoch, in a new order: whichever were
/// evicted for a newcomer would be as likely to be needed as the newcomer.
#[derive(Debug)]
pub(crate) struct Cache {
    capacity: usize,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    bytes: usize,
    images: HashMap<(usize, View), Image>,
}

/// Which form of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum View {
    Original,
    Framed,
}

/// What an entry takes besides its pixels, about.
const OVERHEAD: usize = 128;

impl Cache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, content: Mutex::default() }
    }

    /// The image of a sample, made by `decode` unless it is remembered.
    pub(crate) fn get<E>(
        &self,
        index: usize,
        view: View,
        decode: impl FnOnce() -> Result<Image, E>,
    ) -> Result<Image, E> {
        if self.capacity == 0 {
            return decode();
        }
        let key = (index, view);
        if let Some(image) = self.lock().images.get(&key) {
            return Ok(image.clone());
        }
        // Not under the lock: images are decoded in parallel.
        let image = decode()?;
        let mut content = self.lock();
        let bytes = content.bytes + image.pixels.len() + OVERHEAD;
        if bytes <= self.capacity && !content.images.contains_key(&key) {
            content.bytes = bytes;
            content.images.insert(key, image.clone());
        }
        Ok(image)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Content> {
        // Nothing is ever half done under the lock.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn image(size: usize) -> Image {
        Image { shape: [1, 1, size], pixels: vec![1; size] }
    }

    #[test]
    fn remembers_what_fits() {
        let cache = Cache::new(2 * (OVERHEAD + 100));
        let mut decoded = 0;
        for _ in 0..2 {
            for index in 0..3 {
                let got = cache.get::<Infallible>(index, View::Framed, || {
                    decoded += 1;
                    Ok(image(100))
                });
                assert_eq!(got, Ok(image(100)));
            }
        }
        // Three at first, and the third again.
        assert_eq!(decoded, 4);
        assert_eq!(cache.lock().bytes, 2 * (OVERHEAD + 100));
    }

    #[test]
    fn views_are_kept_apart_and_errors_not_kept() {
        let cache = Cache::new(1000);
        assert_eq!(cache.get(0, View::Original, || Err("damaged")), Err("damaged"));
        assert_eq!(cache.get::<Infallible>(0, View::Original, || Ok(image(3))), Ok(image(3)));
        assert_eq!(cache.get::<Infallible>(0, View::Framed, || Ok(image(2))), Ok(image(2)));
        assert_eq!(cache.get::<Infallible>(0, View::Original, || unreachable!()), Ok(image(3)));
    }

    #[test]
    fn without_capacity_nothing_is_kept() {
        let cache = Cache::new(0);
        assert_eq!(cache.get::<Infallible>(0, View::Framed, || Ok(image(1))), Ok(image(1)));
        assert!(cache.lock().images.is_empty());
    }
}

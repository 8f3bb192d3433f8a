use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::images::image::Image;

/// A cache of decoded images, up to a number of bytes.
///
/// The first images stay, and none is evicted. Training reads every image once per epoch in a new order, so an evicted
/// image would be as likely to be needed as the image that replaced it.
#[derive(Debug)]
pub(crate) struct Cache {
    capacity: usize,
    bytes: AtomicUsize,
    /// Each shard has its own lock, so readers do not wait for each other, and rarely for a writer.
    shards: [RwLock<Shard>; SHARDS],
}

type Shard = HashMap<(usize, View), Arc<Image>>;

const SHARDS: usize = 64;

/// The form of a cached sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum View {
    Original,
    Preprocessed,
}

/// The approximate number of bytes that an entry takes in addition to its pixels.
const OVERHEAD: usize = 128;

impl Cache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, bytes: AtomicUsize::new(0), shards: [(); SHARDS].map(|()| RwLock::default()) }
    }

    /// Returns the image of a sample, from the cache or by calling `decode`.
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
        let shard = &self.shards[index % SHARDS];
        // Pixels are copied and images are decoded without holding the lock.
        let known = read(shard).get(&key).cloned();
        if let Some(image) = known {
            return Ok(Image::clone(&image));
        }
        let image = decode()?;
        if self.claim(image.pixels.len() + OVERHEAD) {
            let replaced = write(shard).insert(key, Arc::new(image.clone()));
            // Another thread has inserted the image first.
            if let Some(image) = replaced {
                self.bytes.fetch_sub(image.pixels.len() + OVERHEAD, Ordering::Relaxed);
            }
        }
        Ok(image)
    }

    /// Reserves so many bytes; returns whether there was room.
    fn claim(&self, bytes: usize) -> bool {
        let with = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.capacity);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).is_ok()
    }
}

// A poisoned lock can be used, because no code that may panic leaves the shard inconsistent.
fn read(shard: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::thread;

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
                let got = cache.get::<Infallible>(index, View::Preprocessed, || {
                    decoded += 1;
                    Ok(image(100))
                });
                assert_eq!(got, Ok(image(100)));
            }
        }
        // Three at first, and the third again.
        assert_eq!(decoded, 4);
        assert_eq!(cache.bytes.into_inner(), 2 * (OVERHEAD + 100));
    }

    #[test]
    fn views_are_kept_apart_and_errors_not_kept() {
        let cache = Cache::new(1000);
        assert_eq!(cache.get(0, View::Original, || Err("damaged")), Err("damaged"));
        assert_eq!(cache.get::<Infallible>(0, View::Original, || Ok(image(3))), Ok(image(3)));
        assert_eq!(cache.get::<Infallible>(0, View::Preprocessed, || Ok(image(2))), Ok(image(2)));
        assert_eq!(cache.get::<Infallible>(0, View::Original, || unreachable!()), Ok(image(3)));
    }

    #[test]
    fn threads_share_what_one_has_decoded() {
        let cache = Cache::new(50 * (OVERHEAD + 100));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for index in 0..100 {
                        let got = cache.get::<Infallible>(index, View::Preprocessed, || Ok(image(100)));
                        assert_eq!(got, Ok(image(100)));
                    }
                });
            }
        });
        let kept: usize = cache.shards.iter().map(|shard| read(shard).len()).sum();
        assert_eq!(cache.bytes.into_inner(), kept * (OVERHEAD + 100));
        assert!(
            (46..=50).contains(&kept),
            "{kept}: each of the other threads may hold room for an image that is there already"
        );
    }

    #[test]
    fn without_capacity_nothing_is_kept() {
        let cache = Cache::new(0);
        assert_eq!(cache.get::<Infallible>(0, View::Preprocessed, || Ok(image(1))), Ok(image(1)));
        assert!(cache.shards.iter().all(|shard| read(shard).is_empty()));
    }
}

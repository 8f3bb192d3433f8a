use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::config::TrainConfig;

/// How the images of an epoch are divided into batches.
///
/// By default, n images are divided into ⌈n / `batch_size`⌉ batches whose sizes differ by at most one, with the larger ones
/// first. No batch is larger than `batch_size`, and every image is used once. If an epoch has several batches, the smallest
/// has at least half of `batch_size` images. With a short last batch instead, the statistics of a few images would determine
/// a step that is as large as any other.
///
/// With `drop_last`, there are ⌊n / `batch_size`⌋ batches of exactly `batch_size` images. The remaining images, which are
/// different ones in every epoch, are not used in that epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    batch_size: usize,
    drop_last: bool,
}

impl Order {
    pub(crate) fn new(config: &TrainConfig) -> Self {
        Self { batch_size: config.batch_size, drop_last: config.drop_last }
    }

    /// The number of batches in an epoch.
    pub(crate) fn steps(self, images: usize) -> usize {
        if self.drop_last { images / self.batch_size } else { images.div_ceil(self.batch_size) }
    }

    /// The size of the smallest batch of an epoch; 0 if there is no batch.
    pub(crate) fn smallest_batch(self, images: usize) -> usize {
        match self.steps(images) {
            0 => 0,
            _ if self.drop_last => self.batch_size,
            steps => images / steps,
        }
    }

    /// The batches of an epoch. Their order depends only on (`seed`, `epoch`).
    pub(crate) fn batches(self, ids: &[usize], seed: u64, epoch: usize) -> Vec<Vec<usize>> {
        let mut ids = ids.to_vec();
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        draws.set_stream(epoch as u64);
        ids.shuffle(&mut draws);
        let steps = self.steps(ids.len());
        let smallest = self.smallest_batch(ids.len());
        let larger = if self.drop_last { 0 } else { ids.len() - smallest * steps };
        let mut rest = ids.as_slice();
        (0..steps)
            .map(|step| {
                let (batch, after) = rest.split_at(smallest + usize::from(step < larger));
                rest = after;
                batch.to_vec()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes(order: Order, images: usize) -> Vec<usize> {
        let ids: Vec<usize> = (0..images).collect();
        order.batches(&ids, 3, 1).iter().map(Vec::len).collect()
    }

    #[test]
    fn by_hand() {
        let even = |batch_size| Order { batch_size, drop_last: false };
        let full = |batch_size| Order { batch_size, drop_last: true };
        // The case that spoiled trainings: 60 batches of 64 and one of 2.
        assert_eq!(sizes(even(64), 3842), [vec![63; 60], vec![62]].concat());
        assert_eq!(sizes(full(64), 3842), [64; 60]);
        // A single image that is left over makes two halves; no batch is larger than the batch size.
        assert_eq!(sizes(even(64), 65), [33, 32]);
        assert_eq!(sizes(even(64), 64), [64]);
        assert_eq!(sizes(even(64), 63), [63]);
        assert_eq!((sizes(full(64), 63), full(64).steps(63), full(64).smallest_batch(63)), (vec![], 0, 0));
    }

    proptest! {
        #[test]
        fn even_batches_use_every_image_once(images in 1usize..2000, batch_size in 1usize..300, seed: u64) {
            let order = Order { batch_size, drop_last: false };
            let ids: Vec<usize> = (100..100 + images).collect();
            let batches = order.batches(&ids, seed, 2);
            prop_assert_eq!(batches.len(), images.div_ceil(batch_size));
            prop_assert_eq!(batches.len(), order.steps(images));
            let sizes = || batches.iter().map(Vec::len);
            let (least, most) = (sizes().min().unwrap(), sizes().max().unwrap());
            prop_assert!(most <= batch_size && most - least <= 1);
            prop_assert_eq!(least, order.smallest_batch(images));
            prop_assert!(batches.len() == 1 || 2 * least >= batch_size);
            let mut seen = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, ids);
        }

        #[test]
        fn dropping_the_last_leaves_full_batches(images in 1usize..2000, batch_size in 1usize..300, seed: u64) {
            let order = Order { batch_size, drop_last: true };
            let ids: Vec<usize> = (0..images).collect();
            let batches = order.batches(&ids, seed, 2);
            prop_assert_eq!(batches.len(), images / batch_size);
            prop_assert_eq!(batches.len(), order.steps(images));
            prop_assert!(batches.iter().all(|batch| batch.len() == batch_size));
            let mut seen = batches.concat();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), images / batch_size * batch_size);
        }
    }

    #[test]
    fn order_depends_on_seed_and_epoch() {
        let ids: Vec<usize> = (0..50).collect();
        let order = Order { batch_size: 8, drop_last: false };
        let order = |seed, epoch| order.batches(&ids, seed, epoch).concat();
        assert_eq!(order(1, 2), order(1, 2));
        assert_ne!(order(1, 2), order(1, 3));
        assert_ne!(order(1, 2), order(2, 2));
        assert_ne!(order(1, 2), ids);
    }

    #[test]
    fn other_images_are_dropped_in_every_epoch() {
        let ids: Vec<usize> = (0..50).collect();
        let order = Order { batch_size: 8, drop_last: true };
        let mut used: Vec<usize> = (0..20).flat_map(|epoch| order.batches(&ids, 1, epoch).concat()).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used, ids);
    }
}

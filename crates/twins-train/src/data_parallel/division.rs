use std::ops::Range;

use twins_nn::Wing;

use crate::config::TrainConfig;
use crate::error::TrainError;

/// The fewest images from which a wing computes the statistics of batch normalisation in a training step.
///
/// The values within one image are strongly correlated, so the effective number of independent values is about the number of
/// images. The variance of n independent normal values has the relative standard error √(2 / (n − 1)): 1.41 for two values, 1
/// for three, 0.82 for four. Four is the smallest number for which the error is smaller than the variance itself. With two
/// values, the normalised values are always +1 and −1, whatever the images show. Even four images are few: ordinary batch
/// normalisation of a ResNet-50 loses 3.7 points of ImageNet accuracy at 4 images per device and 11.1 points at 2, compared
/// with 32 (Wu & He, "Group Normalization", ECCV 2018, table 2). Use 16 or more where memory allows.
pub const MIN_IMAGES_PER_WING: usize = 4;

/// How the images of a step are divided into parts: one or more micro-batches on each device.
///
/// Batch statistics are computed over one part, which has at least [`smallest_part`](Self::smallest_part) images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Division {
    devices: usize,
    micro_batches: usize,
    wings: usize,
    batch_statistics: bool,
}

impl Division {
    /// Creates a division for the `wing` of an objective. `batch_norm` is whether the model has batch normalisation.
    pub(crate) fn new(config: &TrainConfig, devices: usize, wing: Wing, batch_norm: bool) -> Self {
        let wings = if wing == Wing::Split { 2 } else { 1 };
        let batch_statistics = batch_norm && matches!(wing, Wing::Split | Wing::AdaptiveTraining);
        Self { devices, micro_batches: config.accumulate, wings, batch_statistics }
    }

    /// The smallest number of images in a part: [`MIN_IMAGES_PER_WING`] for each wing. Without batch statistics it is two,
    /// the number that [`Objective::loss`](crate::Objective::loss) guarantees.
    pub(crate) fn smallest_part(self) -> usize {
        if self.batch_statistics { self.wings * MIN_IMAGES_PER_WING } else { 2 }
    }

    /// Divides the images of a batch contiguously among the devices, and each device's shard into micro-batches.
    ///
    /// Sizes differ by at most one, and the larger parts come first. A batch that is too small for that many parts is divided
    /// into fewer: micro-batches are merged first, then shards, so that the last devices have no work.
    pub(crate) fn divide(self, images: usize) -> Vec<Vec<Range<usize>>> {
        let cut = |whole, parts| cut(whole, parts, self.smallest_part());
        cut(0..images, self.devices).into_iter().map(|shard| cut(shard, self.micro_batches)).collect()
    }

    /// Checks that no part has too few images, for a batch of `batch_size` images and, if it is known, for the `smallest`
    /// batch of an epoch.
    ///
    /// # Errors
    ///
    /// [`TrainError::SmallParts`], [`TrainError::SmallBatch`].
    pub(crate) fn check(self, batch_size: usize, smallest: Option<usize>) -> Result<(), TrainError> {
        let parts = self.devices.saturating_mul(self.micro_batches);
        if batch_size / parts < self.smallest_part() {
            return Err(TrainError::SmallParts {
                batch_size,
                accumulate: self.micro_batches,
                devices: self.devices,
                wings: self.wings,
                smallest_part: self.smallest_part(),
            });
        }
        match smallest {
            Some(images) if images < self.smallest_part() => Err(TrainError::SmallBatch {
                images,
                batch_size,
                wings: self.wings,
                smallest_part: self.smallest_part(),
            }),
            _ => Ok(()),
        }
    }
}

impl TrainConfig {
    /// Checks that every part of a step has [`MIN_IMAGES_PER_WING`] images for each wing of the configured method, or two images if
    /// no batch statistics are computed: the model has no batch normalisation (`batch_norm` is false), or the method is `frozen-at`. A
    /// part is a micro-batch on one of `devices` devices. [`Trainer::fit`](crate::Trainer::fit) repeats the check with the model and the number of images.
    ///
    /// # Errors
    ///
    /// [`TrainError::SmallParts`].
    ///
    /// ```
    /// use twins_train::{Method, TrainConfig};
    ///
    /// let config = TrainConfig::new(Method::TwinsAt).with_batch_size(32).with_accumulate(4);
    /// assert!(config.check_parts(1, true).is_ok());
    /// // 32 images in 8 parts: 2 for each of the two wings.
    /// let message = config.check_parts(2, true).unwrap_err().to_string();
    /// assert!(message.contains("2 images for each of 2 wings"), "{message}");
    /// ```
    pub fn check_parts(&self, devices: usize, batch_norm: bool) -> Result<(), TrainError> {
        Division::new(self, devices.max(1), self.method.wing(), batch_norm).check(self.batch_size, None)
    }
}

fn cut(whole: Range<usize>, parts: usize, smallest: usize) -> Vec<Range<usize>> {
    let images = whole.len();
    let parts = parts.min(images / smallest).max(1);
    let (size, larger) = (images / parts, images % parts);
    let mut start = whole.start;
    (0..parts)
        .map(|part| {
            let range = start..start + size + usize::from(part < larger);
            start = range.end;
            range
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data_parallel::Order;

    const TWO_WINGS: Division = Division { devices: 1, micro_batches: 1, wings: 2, batch_statistics: true };

    fn bounds(division: Division, images: usize) -> Vec<Vec<[usize; 2]>> {
        let shards = division.divide(images).into_iter();
        shards.map(|parts| parts.into_iter().map(|part| [part.start, part.end]).collect()).collect()
    }

    #[test]
    fn more_parts_than_can_be_counted_are_too_many() {
        let many = Division { devices: 2, micro_batches: 1 << (usize::BITS - 1), ..TWO_WINGS };
        let message = many.check(128, None).unwrap_err().to_string();
        assert!(message.contains("0 images for each of 2 wings"), "{message}");
    }

    #[test]
    fn by_hand() {
        assert_eq!(bounds(TWO_WINGS, 9), [[[0, 9]]]);
        let four = Division { devices: 2, micro_batches: 2, ..TWO_WINGS };
        assert_eq!(bounds(four, 35), [[[0, 9], [9, 18]], [[18, 27], [27, 35]]]);
        // 31 images are too few for four parts of eight, 15 for two.
        assert_eq!(bounds(four, 31), [vec![[0, 8], [8, 16]], vec![[16, 31]]]);
        assert_eq!(bounds(four, 15), [[[0, 15]]]);
        let one_wing = Division { wings: 1, ..four };
        assert_eq!(bounds(one_wing, 16), [[[0, 4], [4, 8]], [[8, 12], [12, 16]]]);
        let no_statistics = Division { batch_statistics: false, ..four };
        assert_eq!(bounds(no_statistics, 9), [[[0, 3], [3, 5]], [[5, 7], [7, 9]]]);
    }

    #[test]
    fn the_smallest_part_follows_from_wings_and_normalisation() {
        let config = TrainConfig::default();
        let smallest = |wing, statistics| Division::new(&config, 1, wing, statistics).smallest_part();
        assert_eq!(smallest(Wing::Split, true), 2 * MIN_IMAGES_PER_WING);
        assert_eq!(smallest(Wing::AdaptiveTraining, true), MIN_IMAGES_PER_WING);
        assert_eq!(smallest(Wing::Split, false), 2);
        // Running statistics need no more images than any other layer.
        assert_eq!(smallest(Wing::Adaptive, true), 2);
    }

    #[test]
    fn errors_name_every_number_and_what_to_change() {
        let division = Division { devices: 2, micro_batches: 4, ..TWO_WINGS };
        let message = division.check(32, None).unwrap_err().to_string();
        for part in
            ["batch_size 32", "accumulate 4", "2 devices", "2 images for each of 2 wings", "batch_size to 64"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(message.contains("accumulate to 2"), "{message}");
        let message = TWO_WINGS.check(64, Some(6)).unwrap_err().to_string();
        for part in ["at most 64 (batch_size)", "one has 6", "3 images for each of 2 wings", "at least 4"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        TWO_WINGS.check(8, Some(8)).unwrap();
    }

    proptest! {
        /// Whatever the number of images: what is not refused gives every wing of every part enough images.
        #[test]
        fn no_wing_sees_too_few_images(
            images in 1usize..3000,
            batch_size in 1usize..300,
            devices in 1usize..6,
            micro_batches in 1usize..6,
            wings in 1usize..3,
            drop_last: bool,
        ) {
            let config = TrainConfig::default().with_batch_size(batch_size).with_drop_last(drop_last);
            let order = Order::new(&config);
            let division = Division { devices, micro_batches, wings, batch_statistics: true };
            if division.check(batch_size, Some(order.smallest_batch(images))).is_ok() {
                let ids: Vec<usize> = (0..images).collect();
                for batch in order.batches(&ids, 0, 0) {
                    let shards = division.divide(batch.len());
                    prop_assert!(shards.len() <= devices);
                    prop_assert!(shards.iter().all(|parts| parts.len() <= micro_batches));
                    let parts = shards.concat();
                    // The frozen wing takes the smaller half.
                    prop_assert!(parts.iter().all(|part| part.len() / wings >= MIN_IMAGES_PER_WING));
                    let seen: Vec<usize> = parts.into_iter().flatten().collect();
                    prop_assert_eq!(seen, (0..batch.len()).collect::<Vec<_>>());
                }
            }
        }
    }
}

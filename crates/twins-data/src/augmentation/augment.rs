use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::augmentation::erasing::{Cutout, RandomErasing};
use crate::augmentation::resized_crop::RandomResizedCrop;
use crate::augmentation::shift::shifted;
use crate::draws::{Purpose, draws};
use crate::images::image::Image;

/// Random changes to training images, with torchvision's parameters and distributions.
///
/// They are applied in the order of this table:
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `resized_crop` | none | cut out a random part of the original and resize it to the data set's size ([`RandomResizedCrop`]) |
/// | `crop_padding` | none | pad with black on all sides and cut out the original size at a random place (`RandomCrop`) |
/// | `horizontal_flip` | false | mirror half of the images left and right (`RandomHorizontalFlip`) |
/// | `cutout` | none | blank a square at a random place ([`Cutout`]) |
/// | `erasing` | none | blank a random rectangle of some images ([`RandomErasing`]) |
///
/// The random numbers of a sample depend only on the seed and the sample's id. The random numbers of one setting do not
/// depend on the other settings.
///
/// ```
/// use twins_data::{Augmentation, Image};
///
/// let augmentation = Augmentation::new().with_crop_padding(4).with_horizontal_flip();
/// let image = Image { shape: [3, 32, 32], pixels: vec![7; 3 * 32 * 32] };
/// let changed = augmentation.apply(&image, [32, 32], 0, 5);
/// assert_eq!(changed.shape, image.shape);
/// assert_eq!(changed, augmentation.apply(&image, [32, 32], 0, 5));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// A random part of the original image, resized.
    pub resized_crop: Option<RandomResizedCrop>,
    /// Pixels of black padding on every side before a random crop of the original size.
    pub crop_padding: Option<usize>,
    /// Whether half of the images are mirrored left and right.
    pub horizontal_flip: bool,
    /// A blank square at a random place.
    pub cutout: Option<Cutout>,
    /// A blank rectangle at a random place of some images.
    pub erasing: Option<RandomErasing>,
}

impl Augmentation {
    /// Creates an augmentation that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The usual augmentation for CIFAR: crops with 4 pixels of padding, and flips.
    pub fn cifar() -> Self {
        Self::new().with_crop_padding(4).with_horizontal_flip()
    }

    /// The usual augmentation for ImageNet: resized crops of 8 % to 100 % of the area, and flips.
    pub fn imagenet() -> Self {
        Self::new().with_resized_crop(RandomResizedCrop::default()).with_horizontal_flip()
    }

    /// Cuts a random part out of the original image and resizes it to the data set's size.
    pub fn with_resized_crop(mut self, crop: RandomResizedCrop) -> Self {
        self.resized_crop = Some(crop);
        self
    }

    /// Pads with `pixels` of black on every side and cuts out the original size at a random place.
    pub fn with_crop_padding(mut self, pixels: usize) -> Self {
        self.crop_padding = Some(pixels);
        self
    }

    /// Mirrors half of the images left and right.
    pub fn with_horizontal_flip(mut self) -> Self {
        self.horizontal_flip = true;
        self
    }

    /// Blanks a square at a random place.
    pub fn with_cutout(mut self, cutout: Cutout) -> Self {
        self.cutout = Some(cutout);
        self
    }

    /// Blanks a rectangle at a random place of some images.
    pub fn with_erasing(mut self, erasing: RandomErasing) -> Self {
        self.erasing = Some(erasing);
        self
    }

    /// Whether [`apply`](Self::apply) takes [`ImageDataset::original`](crate::ImageDataset::original) images.
    pub fn takes_originals(&self) -> bool {
        self.resized_crop.is_some()
    }

    /// Augments an image. `seed` is the seed of the epoch, and `id` is the sample's index in its data set.
    ///
    /// # Shapes
    /// - image: `[channels, height, width]`, of any size if [`takes_originals`](Self::takes_originals), otherwise of
    ///   `size`
    /// - result: `[channels, size[0], size[1]]`
    pub fn apply(&self, image: &Image, size: [usize; 2], seed: u64, id: u64) -> Image {
        let mut image = match self.resized_crop {
            Some(crop) => crop.apply(image, size, &mut draws(seed, id, Purpose::ResizedCrop)),
            None => image.clone(),
        };
        if let Some(padding) = self.crop_padding {
            let mut draw = draws(seed, id, Purpose::Crop);
            let mut offset = || draw.random_range(0..=2 * padding as u64) as i64 - padding as i64;
            let (top, left) = (offset(), offset());
            image = shifted(&image, top, left);
        }
        if self.horizontal_flip && draws(seed, id, Purpose::Flip).random_bool(0.5) {
            let width = image.shape[2].max(1);
            image.pixels.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        if let Some(cutout) = self.cutout {
            cutout.apply(&mut image, &mut draws(seed, id, Purpose::Cutout));
        }
        if let Some(erasing) = self.erasing {
            erasing.apply(&mut image, &mut draws(seed, id, Purpose::Erasing));
        }
        image
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn counting(shape: [usize; 3]) -> Image {
        Image { shape, pixels: (1..=shape.iter().product::<usize>() as u8).collect() }
    }

    #[test]
    fn crops_are_uniform_over_all_places() {
        // One white pixel in the middle of 5 x 5, padding 1: it lands on 9 places.
        let mut image = Image { shape: [1, 5, 5], pixels: vec![0; 25] };
        image.pixels[12] = 255;
        let augmentation = Augmentation::new().with_crop_padding(1);
        let mut places = BTreeMap::new();
        for id in 0..9000 {
            let cropped = augmentation.apply(&image, [5, 5], 1, id);
            let place = cropped.pixels.iter().position(|&pixel| pixel == 255).unwrap();
            *places.entry(place).or_insert(0) += 1;
        }
        assert_eq!(places.keys().copied().collect::<Vec<_>>(), [6, 7, 8, 11, 12, 13, 16, 17, 18]);
        // 1000 expected, standard deviation 30: five of them.
        assert!(places.values().all(|count| (850..=1150).contains(count)), "{places:?}");
    }

    #[test]
    fn flips_half_of_the_images() {
        let image = counting([2, 1, 3]);
        let augmentation = Augmentation::new().with_horizontal_flip();
        let flipped = |id| augmentation.apply(&image, [1, 3], 3, id).pixels == [3, 2, 1, 6, 5, 4];
        // 1000 expected, standard deviation 22: five of them.
        assert!((888..=1112).contains(&(0..2000).filter(|&id| flipped(id)).count()));
    }

    #[test]
    fn cutout_and_erasing_have_their_own_draws() {
        let image = Image { shape: [1, 10, 10], pixels: vec![255; 100] };
        let cutout = Cutout::new(4).unwrap();
        let erasing = RandomErasing::new(1.0, (0.1, 0.2), (1.0, 1.0)).unwrap();
        let (mut blanked, mut erased) = (image.clone(), image.clone());
        cutout.apply(&mut blanked, &mut draws(1, 7, Purpose::Cutout));
        erasing.apply(&mut erased, &mut draws(1, 7, Purpose::Erasing));
        assert!(blanked != image && erased != image);
        let apply = |augmentation: Augmentation| augmentation.apply(&image, [10, 10], 1, 7);
        assert_eq!(apply(Augmentation::new().with_cutout(cutout)), blanked);
        assert_eq!(apply(Augmentation::new().with_erasing(erasing)), erased);
    }

    #[test]
    fn every_sample_and_epoch_has_its_own_draws() {
        let image = counting([1, 10, 10]);
        let augmentation = Augmentation::cifar();
        let of_epoch =
            |seed| (0..50).map(|id| augmentation.apply(&image, [10, 10], seed, id)).collect::<Vec<_>>();
        assert_eq!(of_epoch(1), of_epoch(1));
        assert_ne!(of_epoch(1), of_epoch(2));
        assert!(of_epoch(1).windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn what_one_setting_draws_does_not_depend_on_the_others() {
        let image = counting([1, 10, 10]);
        let crop_only = Augmentation::new().with_crop_padding(4).apply(&image, [10, 10], 1, 7);
        let mut both = Augmentation::cifar().apply(&image, [10, 10], 1, 7);
        if both != crop_only {
            both.pixels.chunks_exact_mut(10).for_each(<[u8]>::reverse);
        }
        assert_eq!(both, crop_only);
    }
}

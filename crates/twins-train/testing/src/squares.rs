use std::sync::Arc;

use burn_dataset::Dataset;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use twins_data::{DataError, Image, ImageDataset, LabelledImage};

/// 8 × 8 images with noise and a bright square. The class is the quarter in which the square is.
pub struct Squares {
    images: Vec<LabelledImage>,
    classes: Vec<String>,
    on_read: Box<dyn Fn(usize) + Send + Sync>,
}

impl Squares {
    /// Creates a data set of `len` images, with the classes in turn.
    pub fn dataset(len: usize, seed: u64) -> Arc<dyn ImageDataset> {
        Self::dataset_with(len, seed, |_| {})
    }

    /// Like [`dataset`](Self::dataset). Whenever an image is read, `on_read` is called first with its index, in the thread
    /// that reads.
    pub fn dataset_with(
        len: usize,
        seed: u64,
        on_read: impl Fn(usize) + Send + Sync + 'static,
    ) -> Arc<dyn ImageDataset> {
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        let images = (0..len)
            .map(|index| {
                let label = index % 4;
                let (top, left) = (4 * (label / 2), 4 * (label % 2));
                let (dy, dx) = (draws.random_range(0..2), draws.random_range(0..2));
                let mut pixels: Vec<u8> = (0..64).map(|_| draws.random_range(0..120)).collect();
                for y in 0..3 {
                    for x in 0..3 {
                        pixels[8 * (top + dy + y) + left + dx + x] += 100;
                    }
                }
                LabelledImage { image: Image { shape: [1, 8, 8], pixels }, label }
            })
            .collect();
        let classes = ["upper left", "upper right", "lower left", "lower right"];
        let classes = classes.map(str::to_owned).to_vec();
        Arc::new(Self { images, classes, on_read: Box::new(on_read) })
    }
}

impl Dataset<LabelledImage, DataError> for Squares {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        (self.on_read)(index);
        Ok(self.images[index].clone())
    }

    fn len(&self) -> usize {
        self.images.len()
    }
}

impl ImageDataset for Squares {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        [1, 8, 8]
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.images[index].label)
    }
}

use std::sync::Arc;

use twins_data::{DataError, ImageDataset, Limit, Part, Split, Subset, split};
use twins_models::{HeldOut, ModelCard};
use twins_train::ValidationConfig;

use super::images::limited;
use crate::error::ExperimentError;
use crate::notice::{Notice, Notify};
use crate::settings::DataConfig;

/// The fraction of images held out as the test part of a folder without parts.
const TEST_FRACTION: f64 = 0.2;
/// The seed of that split. It differs from the training's seed, so that trainings with different seeds are tested on the same images.
const TEST_SEED: u64 = 0;

/// The parts of an experiment's data. No test image is among the training images.
#[derive(Clone)]
pub struct Parts {
    /// The training images.
    pub train: Arc<dyn ImageDataset>,
    /// The validation images, on which the best checkpoint is chosen; `None` if the data has no validation part, so that they are split off
    /// from the training images.
    pub validation: Option<Arc<dyn ImageDataset>>,
    /// The test images, on which the result is evaluated.
    pub test: Arc<dyn ImageDataset>,
    /// The split that selected the test images, if the data has no test part of its own.
    pub held_out: Option<HeldOut>,
}

/// The images that a model is evaluated on.
pub struct TestPart {
    /// The images.
    pub images: Arc<dyn ImageDataset>,
    /// The split that selected the images, if the data has no test part of its own and only a part of it is used.
    pub held_out: Option<HeldOut>,
}

/// The images to evaluate on, for a folder without sub-folders `train` and `test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestImages {
    /// The fifth of the images that a training holds out.
    HeldOut,
    /// All images, for a folder that the model was not trained on.
    All,
}

impl Parts {
    /// Opens the parts, each with its limit. The limit of the test part also applies to a validation part.
    ///
    /// # Errors
    ///
    /// Errors of the data, parts whose images differ in size, and a folder without parts that has too few images.
    pub fn open(data: &DataConfig, notify: &Notify) -> Result<Self, ExperimentError> {
        let source = &data.source;
        let whole = data.open(Part::Train, None, notify)?;
        if let [class] = whole.classes() {
            return Err(ExperimentError::OneClass { data: source.to_string(), class: class.clone() });
        }
        let expected = whole.image_shape();
        let check_size = |part, images: &dyn ImageDataset| match images.image_shape() {
            found if found == expected => Ok(()),
            found => Err(ExperimentError::PartSize { data: source.to_string(), part, found, expected }),
        };
        let (train, test, held_out) = if source.has_parts() {
            let test = data.open(Part::Test, None, notify)?;
            check_size(Part::Test, test.as_ref())?;
            (whole, test, None)
        } else {
            let held_out = HeldOut { images: whole.len(), fraction: TEST_FRACTION, seed: TEST_SEED };
            let Split { train, validation: test } = divided(whole.as_ref(), &held_out)
                .map_err(|problem| ExperimentError::HeldOut { problem, data: source.to_string() })?;
            let how = describe(&held_out, train.len(), test.len());
            notify(Notice::Progress(format!("{source} has no sub-folders train and test: {how}")));
            let part = |indices| -> Result<Arc<dyn ImageDataset>, DataError> {
                Ok(Arc::new(Subset::new(whole.clone(), indices)?))
            };
            (part(train)?, part(test)?, Some(held_out))
        };
        let validation = match source.has_validation() {
            true => {
                let images = data.open(Part::Validation, None, notify)?;
                check_size(Part::Validation, images.as_ref())?;
                Some(limited("validation part", images, data.test_images, notify)?)
            }
            false => None,
        };
        Ok(Self {
            train: limited("training part", train, data.train_images, notify)?,
            validation,
            test: limited("test part", test, data.test_images, notify)?,
            held_out,
        })
    }

    /// The number of images of each part that a training with this validation uses, in words.
    pub fn describe(&self, validation: &ValidationConfig) -> String {
        let (train, test) = (self.train.len(), self.test.len());
        let mut images = match (&self.validation, validation.fraction) {
            (_, None) => format!("{train} for training, {test} for the test"),
            (Some(own), Some(_)) => {
                format!("{train} for training, {} for validation, {test} for the test", own.len())
            }
            (None, Some(_)) => format!("{train} for training and validation, {test} for the test"),
        };
        if let Some(HeldOut { images: all, fraction, seed }) = &self.held_out {
            let percent = 100.0 * fraction;
            images += &format!(
                "; the test images are out of {percent:.0} % of all {all}, drawn by class with seed {seed}"
            );
        }
        images
    }

    /// Warns if the initial model was trained on a different split of a folder.
    pub(crate) fn warn_of_other_split(&self, card: Option<&ModelCard>, notify: &Notify) {
        let recorded = card.and_then(|card| card.held_out());
        let (Some(before), Some(now)) = (recorded, &self.held_out) else { return };
        if before != now {
            notify(Notice::Warning(format!(
                "the weights were fine-tuned on a folder of {} images, this one has {}: if it is the same folder, they may have \
                 been trained on what is the test part now",
                before.images, now.images
            )));
        }
    }
}

impl TestPart {
    /// Opens the images that a model is evaluated on, which are the test part. For a folder without parts, they are the images held out
    /// from the model's training, or all images if the model was not trained on such a folder; `choice` overrides this.
    ///
    /// # Errors
    ///
    /// Errors of the data, a choice of images for data with a test part, and a folder that has changed since the model's training.
    pub fn open(
        data: &DataConfig,
        limit: Option<Limit>,
        card: Option<&ModelCard>,
        chosen: Option<TestImages>,
        notify: &Notify,
    ) -> Result<Self, ExperimentError> {
        let source = data.source.to_string();
        let whole = data.open(Part::Test, card.and_then(|card| card.class_names()), notify)?;
        if data.source.has_parts() {
            return match chosen {
                None => Ok(Self { images: limited("test part", whole, limit, notify)?, held_out: None }),
                Some(_) => Err(ExperimentError::HasTestPart { data: source }),
            };
        }
        let recorded = card.and_then(|card| card.held_out());
        let held_out = match (chosen, recorded) {
            (Some(TestImages::All), _) | (None, None) => None,
            (_, Some(recorded)) if recorded.images != whole.len() => {
                return Err(ExperimentError::OtherFolder {
                    recorded: recorded.images,
                    found: whole.len(),
                    data: source,
                });
            }
            (_, Some(recorded)) => Some(recorded.clone()),
            (Some(TestImages::HeldOut), None) => {
                Some(HeldOut { images: whole.len(), fraction: TEST_FRACTION, seed: TEST_SEED })
            }
        };
        let test: Arc<dyn ImageDataset> = match &held_out {
            None => whole,
            Some(held_out) => {
                let Split { train, validation: test } = divided(whole.as_ref(), held_out)?;
                let how = describe(held_out, train.len(), test.len());
                notify(Notice::Progress(format!(
                    "{source} has no sub-folders train and test: {how}, and only these are measured (--test-images)"
                )));
                Arc::new(Subset::new(whole, test)?)
            }
        };
        Ok(Self { images: limited("test part", test, limit, notify)?, held_out })
    }
}

fn divided(whole: &dyn ImageDataset, held_out: &HeldOut) -> Result<Split, DataError> {
    split(&whole.labels()?, held_out.fraction, held_out.seed)
}

/// Describes the split of a test part.
fn describe(held_out: &HeldOut, train: usize, test: usize) -> String {
    let HeldOut { images, fraction, seed } = held_out;
    format!(
        "{test} of {images} images ({:.0} % of each class, drawn with seed {seed}) are held out for the test, {train} are trained \
         on",
        100.0 * fraction
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use twins_data::{BuiltinDataset, DataSource, Preprocessing, Task};

    use super::*;
    use crate::notice::silent;

    #[test]
    fn parts_whose_images_differ_in_size_are_refused() {
        for (validation, test, refused) in [(1, 2, "test"), (2, 1, "validation")] {
            let folder = tempfile::tempdir().unwrap();
            let files =
                [("train/a", 1), ("train/b", 1), ("val/a", validation), ("val/b", 1), ("test/a", test)];
            for (class, width) in files {
                let class = folder.path().join(class);
                fs::create_dir_all(&class).unwrap();
                let header = format!("P6\n{width} 1\n255\n");
                fs::write(class.join("1.ppm"), [header.as_bytes(), &[7; 6][..3 * width]].concat()).unwrap();
            }
            let source = DataSource::Folder(folder.path().to_owned());
            let open = |preprocessing| {
                let data = DataConfig { preprocessing, ..DataConfig::new(source.clone()) };
                Parts::open(&data, &silent()).err().map(|error| error.to_string())
            };
            let message = open(Preprocessing::AsStored).unwrap();
            let expected = format!(
                "the {refused} images of {source} are 2 x 1 pixels where the training images are 1 x 1 "
            );
            assert!(message.starts_with(&expected), "{message}");
            assert_eq!(open(Preprocessing::ResizeCrop { resize: 1, crop: 1 }), None);
        }
    }

    #[test]
    fn images_are_for_validation_if_there_is_one() {
        let images = |part, count| -> Arc<dyn ImageDataset> {
            Arc::new(BuiltinDataset::new(Task::Target, part, count, 0))
        };
        let (train, test) = (images(Part::Train, 50), images(Part::Test, 20));
        let parts = Parts { train, validation: None, test, held_out: None };
        let own = Parts { validation: Some(images(Part::Test, 10)), ..parts.clone() };
        let (split, none) = (ValidationConfig::default(), ValidationConfig::none());
        assert_eq!(parts.describe(&split), "50 for training and validation, 20 for the test");
        assert_eq!(own.describe(&split), "50 for training, 10 for validation, 20 for the test");
        for parts in [parts, own] {
            assert_eq!(parts.describe(&none), "50 for training, 20 for the test");
        }
    }
}

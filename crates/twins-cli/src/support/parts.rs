//! The images to train on and those to test on, which are never the same.

use std::sync::Arc;

use burn_twins::data::{DataError, DataSource, ImageDataset, Limit, Part, Split, Subset, split};
use burn_twins::models::{HeldOut, ModelCard};
use clap::ValueEnum;

use super::images::ImageArguments;
use super::{limited, print_limit};

/// The share of a folder without parts that is the test part.
const TEST_FRACTION: f64 = 0.2;
/// What chooses it. Not the training's seed: trainings with several seeds are tested on the same images.
const TEST_SEED: u64 = 0;

/// The parts of a data source.
pub struct Parts {
    pub train: Arc<dyn ImageDataset>,
    /// What checkpoints are chosen on, where the source has such a part; a split of the training part otherwise.
    pub validation: Option<Arc<dyn ImageDataset>>,
    pub test: Arc<dyn ImageDataset>,
    /// How the test part was drawn, where the source has none of its own.
    pub held_out: Option<HeldOut>,
}

/// What a model is measured on.
pub struct TestPart {
    pub images: Arc<dyn ImageDataset>,
    /// How they were drawn, where the source has no test part of its own and a part of it is measured.
    pub held_out: Option<HeldOut>,
}

/// Images of a folder without sub-folders train and test to measure on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TestImages {
    /// The fifth that finetune holds out of its training.
    HeldOut,
    /// All: for a folder that the model was not trained on.
    All,
}

impl Parts {
    /// Opens the parts, each within its limit; that of the test part also limits a validation part.
    pub fn open(
        images: &ImageArguments,
        source: &DataSource,
        [train_limit, test_limit]: [Option<Limit>; 2],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let whole = images.open(source, Part::Train, None)?;
        let (train, test, held_out) = if source.has_parts() {
            (whole, images.open(source, Part::Test, None)?, None)
        } else {
            let held_out = HeldOut { images: whole.len(), fraction: TEST_FRACTION, seed: TEST_SEED };
            let Split { train, validation: test } = divided(whole.as_ref(), &held_out).map_err(|error| {
                format!("{error}; give {source} more images, or sub-folders train and test")
            })?;
            println!(
                "{source} has no sub-folders train and test: {}",
                describe(&held_out, train.len(), test.len())
            );
            let part = |indices| -> Result<Arc<dyn ImageDataset>, DataError> {
                Ok(Arc::new(Subset::new(whole.clone(), indices)?))
            };
            (part(train)?, part(test)?, Some(held_out))
        };
        let validation = match source.has_validation() {
            true => {
                let images = images.open(source, Part::Validation, None)?;
                Some(reported("validation part", images, test_limit)?)
            }
            false => None,
        };
        Ok(Self {
            train: reported("training part", train, train_limit)?,
            validation,
            test: reported("test part", test, test_limit)?,
            held_out,
        })
    }

    /// Says so where a model that is to be trained further was trained on another division of a folder.
    pub fn warn_of_other_split(&self, card: Option<&ModelCard>) {
        let recorded = card.and_then(|card| card.held_out());
        let (Some(before), Some(now)) = (recorded, &self.held_out) else { return };
        if before != now {
            eprintln!(
                "warning: the weights were fine-tuned on a folder of {} images, this one has {}: if it is the same folder, they \
                 may have been trained on what is the test part now",
                before.images, now.images
            );
        }
    }
}

/// Opens what a model is measured on: the test part; of a folder without parts what was held out of the model's training,
/// or all where the model was not trained on such a folder.
pub fn open_test(
    images: &ImageArguments,
    source: &DataSource,
    limit: Option<Limit>,
    card: Option<&ModelCard>,
    asked: Option<TestImages>,
) -> Result<TestPart, Box<dyn std::error::Error>> {
    let whole = images.open(source, Part::Test, card.and_then(|card| card.class_names()))?;
    if source.has_parts() {
        return match asked {
            None => Ok(TestPart { images: reported("test part", whole, limit)?, held_out: None }),
            Some(_) => Err(format!(
                "--test-images is for a folder without sub-folders train and test, but --data {source} has a test part; \
                 leave it out"
            )
            .into()),
        };
    }
    let recorded = card.and_then(|card| card.held_out());
    let held_out = match (asked, recorded) {
        (Some(TestImages::All), _) | (None, None) => None,
        (_, Some(recorded)) if recorded.images != whole.len() => {
            return Err(format!(
                "the model was fine-tuned on a folder of {} images and {source} has {}: which of them it was trained on \
                 cannot be told; give the folder as it was, or --test-images all if the model was trained on none of them",
                recorded.images,
                whole.len()
            )
            .into());
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
            println!(
                "{source} has no sub-folders train and test: {}, and only these are measured (--test-images)",
                describe(held_out, train.len(), test.len())
            );
            Arc::new(Subset::new(whole, test)?)
        }
    };
    Ok(TestPart { images: reported("test part", test, limit)?, held_out })
}

/// A part within its limit, which is printed.
fn reported(
    part: &str,
    dataset: Arc<dyn ImageDataset>,
    limit: Option<Limit>,
) -> Result<Arc<dyn ImageDataset>, DataError> {
    let all = dataset.len();
    let used = limited(dataset, limit)?;
    print_limit(part, limit, all, used.as_ref())?;
    Ok(used)
}

fn divided(whole: &dyn ImageDataset, held_out: &HeldOut) -> Result<Split, DataError> {
    split(&whole.labels()?, held_out.fraction, held_out.seed)
}

/// How a test part was drawn, in words.
fn describe(held_out: &HeldOut, train: usize, test: usize) -> String {
    let HeldOut { images, fraction, seed } = held_out;
    format!(
        "{test} of {images} images ({:.0} % of each class, drawn with seed {seed}) are held out for the test, {train} are \
         trained on",
        100.0 * fraction
    )
}

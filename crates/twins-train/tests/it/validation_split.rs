//! Which images are held out for the validation.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use burn_dataset::Dataset;
use twins_data::{DataError, ImageDataset, LabelledImage};
use twins_nn::Wing;
use twins_train::{
    At, ExistingRun, ImageClassifier, Loss, Method, Objective, TrainConfig, TrainError, TrainingBatch,
    ValidationConfig,
};
use twins_train_testing::{Net, Squares, config, trainer};

/// AT that notes the images that it trains on, to the bit.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<BTreeSet<Vec<u32>>>>);

impl<M: ImageClassifier> Objective<M> for Noted {
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        let values = batch.clean.clone().inner().try_into_vec_as::<f32>().unwrap();
        let images = values.chunks(64).map(|image| image.iter().map(|value| value.to_bits()).collect());
        self.0.lock().unwrap().extend(images);
        At.loss(model, batch)
    }
}

#[test]
fn trainings_with_several_seeds_hold_the_same_images_out() {
    let trained_on = |config: TrainConfig| {
        let noted = Noted::default();
        trainer(config.with_epochs(1))
            .with_objective(noted.clone())
            .fit(Net::new(4, 1), Squares::dataset(90, 1))
            .unwrap();
        std::mem::take(&mut *noted.0.lock().unwrap())
    };
    let config = config(Method::At);
    let images = trained_on(config.clone().with_seed(1));
    assert_eq!(images.len(), 81);
    assert_eq!(images, trained_on(config.clone().with_seed(2)));
    let validation = ValidationConfig { seed: 1, ..config.validation.clone() };
    assert_ne!(images, trained_on(config.with_seed(1).with_validation(validation)));
}

/// Squares as frames of recordings: each class has recordings of so many frames, one after the other, and a file name for each.
struct Recordings {
    squares: Arc<dyn ImageDataset>,
    frames: usize,
}

impl Recordings {
    fn dataset(frames: usize) -> Arc<dyn ImageDataset> {
        Arc::new(Self { squares: Squares::dataset(96, 1), frames })
    }

    /// Class and number of a sample's recording. Classes take turns in `Squares`.
    fn recording(&self, index: usize) -> (usize, usize) {
        (index % 4, index / 4 / self.frames)
    }
}

impl Dataset<LabelledImage, DataError> for Recordings {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        self.squares.get(index)
    }

    fn len(&self) -> usize {
        self.squares.len()
    }
}

impl ImageDataset for Recordings {
    fn classes(&self) -> &[String] {
        self.squares.classes()
    }

    fn image_shape(&self) -> [usize; 3] {
        self.squares.image_shape()
    }

    fn name(&self, index: usize) -> Option<String> {
        Some(format!("{:05}_{index:05}.png", self.recording(index).1))
    }
}

fn grouped(config: TrainConfig) -> TrainConfig {
    let validation = ValidationConfig { groups: "prefix:_".parse().unwrap(), ..config.validation.clone() };
    config.with_validation(validation)
}

#[test]
fn no_recording_is_trained_and_validated_on() {
    // In each class 24 images, in 6 recordings of 4: a tenth is 2.4 images, one recording.
    let data = Recordings { squares: Squares::dataset(96, 1), frames: 4 };
    let config = grouped(config(Method::At)).with_epochs(1);
    let noted = Noted::default();
    let trained = trainer(config.clone())
        .with_objective(noted.clone())
        .fit(Net::new(4, 1), Recordings::dataset(4))
        .unwrap();
    let trained_on = std::mem::take(&mut *noted.0.lock().unwrap());
    let bits = |index: usize| -> Vec<u32> {
        let pixels = data.get(index).unwrap().image.pixels;
        pixels.iter().map(|&pixel| (f32::from(pixel) / 255.0).to_bits()).collect()
    };
    let (train, held_out): (Vec<usize>, Vec<usize>) =
        (0..96).partition(|&index| trained_on.contains(&bits(index)));
    let recordings = |ids: &[usize]| ids.iter().map(|&id| data.recording(id)).collect::<BTreeSet<_>>();
    assert_eq!((train.len(), trained_on.len(), held_out.len()), (80, 80, 16));
    assert!(recordings(&train).is_disjoint(&recordings(&held_out)));
    assert_eq!(recordings(&held_out).iter().map(|(class, _)| *class).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(trained.history[0].validation_clean_accuracy.unwrap().total, 16);
    let split = config.validation.split(&data, &data.labels().unwrap()).unwrap().unwrap();
    assert_eq!((split.train, split.validation), (train, held_out));
}

#[test]
fn a_run_resumes_with_its_own_groups_alone() {
    let folder = tempfile::tempdir().unwrap();
    let fit = |config: TrainConfig, existing, frames| {
        trainer(config)
            .with_run_directory(folder.path(), existing)
            .fit(Net::new(4, 1), Recordings::dataset(frames))
    };
    let ungrouped = config(Method::At).with_epochs(1);
    let config = grouped(ungrouped.clone());
    fit(config.clone(), ExistingRun::Refuse, 4).unwrap();
    let message = fit(ungrouped, ExistingRun::Resume, 4).unwrap_err().to_string();
    assert!(message.contains("prefix:_") && message.contains("none"), "{message}");
    // Renamed files are in other groups, so that other images are held out.
    let error = fit(config.clone(), ExistingRun::Resume, 6).unwrap_err();
    assert!(matches!(error, TrainError::OtherData), "{error}");
    assert_eq!(fit(config, ExistingRun::Resume, 4).unwrap().history.len(), 1);
}

#[test]
fn images_without_names_cannot_be_grouped() {
    let fit = trainer(grouped(config(Method::At))).fit(Net::new(4, 1), Squares::dataset(90, 1));
    let message = fit.unwrap_err().to_string();
    assert!(message.contains("validation.groups is prefix:_") && message.contains("\"none\""), "{message}");
}

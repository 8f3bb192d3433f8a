//! Which images are held out for the validation.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use twins_nn::Wing;
use twins_train::{
    At, ImageClassifier, Loss, Method, Objective, TrainConfig, TrainingBatch, ValidationConfig,
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

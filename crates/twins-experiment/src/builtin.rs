//! The settings of trainings on the built-in data, with which a run takes seconds on two cores.

use twins_data::Limit;
use twins_train::{AdversaryConfig, TrainConfig};

use crate::settings::DataConfig;

const TRAIN_IMAGES: usize = 500;
const TEST_IMAGES: usize = 500;
/// The number of test images for the report's curve and its attacks.
pub(crate) const REPORT_IMAGES: usize = 100;
const EPOCHS: usize = 10;
const BATCH_SIZE: usize = 64;
// The trials of the main job chose this learning rate and lambda (examples/studies/digits-choice.toml). Without the limit, the frozen wing
// diverges at it.
const LEARNING_RATE: f64 = 0.1;
const LAMBDA: f64 = 0.3;
const GRADIENT_CLIP: f64 = 1.0;
/// The paper's models were pre-trained within 4/255.
const EPSILON: f64 = 4.0 / 255.0;
const STEPS: usize = 5;
const STEP_SIZE: f64 = EPSILON / 4.0;

/// Replaces the usual settings of a training.
pub(crate) fn training(usual: TrainConfig) -> TrainConfig {
    let adversary =
        AdversaryConfig { epsilon: EPSILON, steps: STEPS, step_size: STEP_SIZE, ..usual.adversary };
    TrainConfig {
        epochs: EPOCHS,
        batch_size: BATCH_SIZE,
        learning_rate: LEARNING_RATE,
        lambda: LAMBDA,
        gradient_clip: Some(GRADIENT_CLIP),
        adversary,
        ..usual
    }
}

/// Limits the images of both parts.
pub(crate) fn limits(data: &mut DataConfig) {
    data.train_images = Some(Limit::Stratified(TRAIN_IMAGES));
    data.test_images = Some(Limit::Stratified(TEST_IMAGES));
}

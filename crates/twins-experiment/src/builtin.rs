//! The built-in job: its network and lengths, chosen to take a few minutes on two cores.

use twins_data::{DataSource, Grouping, Limit, Task};
use twins_models::Architecture;
use twins_train::{AdversaryConfig, Method, Schedule, TrainConfig, ValidationConfig};

use crate::settings::{AutoAttackImages, DataConfig, EvaluationConfig, ExperimentConfig, InitialModel};

const PRETRAIN_IMAGES: usize = 4_000;
const PRETRAIN_EPOCHS: usize = 5;
const PRETRAIN_LEARNING_RATE: f64 = 0.1;
const PRETRAIN_WEIGHT_DECAY: f64 = 5e-4;
const TRAIN_IMAGES: usize = 2_000;
const TEST_IMAGES: usize = 500;
/// Test images behind the report's curve and its attacks.
pub(crate) const REPORT_IMAGES: usize = 100;
const EPOCHS: usize = 4;
const BATCH_SIZE: usize = 64;
const LEARNING_RATE: f64 = 0.02;
/// The paper's models were pre-trained within 4/255.
const EPSILON: f64 = 4.0 / 255.0;
/// With a random start, two steps of 5/8 epsilon train about as well as many short ones.
const STEPS: usize = 2;
const STEP_PER_EPSILON: f64 = 0.625;

/// The built-in job's training in the place of the usual one.
pub(crate) fn training(usual: TrainConfig) -> TrainConfig {
    let adversary = AdversaryConfig {
        epsilon: EPSILON,
        steps: STEPS,
        step_size: EPSILON * STEP_PER_EPSILON,
        ..usual.adversary
    };
    TrainConfig { epochs: EPOCHS, batch_size: BATCH_SIZE, learning_rate: LEARNING_RATE, adversary, ..usual }
}

/// The images of the built-in job.
pub(crate) fn limits(data: &mut DataConfig) {
    data.train_images = Some(Limit::First(TRAIN_IMAGES));
    data.test_images = Some(Limit::First(TEST_IMAGES));
}

/// The adversarial pre-training on the built-in source task that comes before a fine-tuning without weights. Of the fine-tuning it
/// takes the adversary, the validation, the batches and the seed, and the limits of images that were chosen, where these are lower.
pub(crate) fn pretraining(
    finetuning: &ExperimentConfig,
    [train_images, test_images]: [Option<Limit>; 2],
) -> ExperimentConfig {
    let limit = |chosen: Option<Limit>, images| {
        Some(chosen.filter(|limit| limit.count() < images).unwrap_or(Limit::First(images)))
    };
    let training = &finetuning.training;
    ExperimentConfig {
        data: DataConfig {
            source: DataSource::Builtin(Task::Source),
            train_images: limit(train_images, PRETRAIN_IMAGES),
            test_images: limit(test_images, TEST_IMAGES),
            ..DataConfig::default()
        },
        model: InitialModel::random(Architecture::TinyResNet),
        training: TrainConfig {
            epochs: PRETRAIN_EPOCHS,
            schedule: Schedule::paper(PRETRAIN_EPOCHS),
            learning_rate: PRETRAIN_LEARNING_RATE,
            weight_decay: PRETRAIN_WEIGHT_DECAY,
            batch_size: training.batch_size,
            drop_last: training.drop_last,
            accumulate: training.accumulate,
            sync_statistics: training.sync_statistics,
            adversary: training.adversary.clone(),
            precision: training.precision,
            attack_precision: training.attack_precision,
            // The letters are no files whose names could form groups.
            validation: ValidationConfig { groups: Grouping::None, ..training.validation.clone() },
            augmentation: training.augmentation.clone(),
            checkpoint_steps: training.checkpoint_steps,
            seed: training.seed,
            ..TrainConfig::new(Method::At)
        },
        evaluation: EvaluationConfig {
            report_images: 0,
            autoattack: AutoAttackImages::None,
            ..finetuning.evaluation.clone()
        },
        compute: finetuning.compute.clone(),
        log: finetuning.log.clone(),
    }
}

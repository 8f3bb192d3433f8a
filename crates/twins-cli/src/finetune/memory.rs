//! Whether a training batch fits into memory.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use burn_twins::data::ImageDataset;
use burn_twins::models::Net;
use burn_twins::nn::TwinsModule;
use burn_twins::train::{
    Method, Sgd, StepSettings, TrainConfig, TrainingBatch, TrainingModel, step_with_parameters,
};

use crate::finetune::cli::Cli;
use crate::support::Outcome;

/// Makes steps with small batches on a copy of the model and estimates from them whether the batches of the training fit.
pub fn check(
    cli: &Cli,
    config: &TrainConfig,
    method: Method,
    net: &Net,
    images: &dyn ImageDataset,
    device: &Device,
) -> Outcome {
    let objective = method.objective::<Net>(config);
    let parameters = objective.parameters(&net.valid().train())?;
    let [channels, height, width] = images.image_shape();
    let device = device.clone().autodiff();
    // A device has one micro-batch in memory at a time.
    let at_a_time = config.batch_size.min(images.len()).div_ceil(config.accumulate.max(1));
    cli.common.check_memory(at_a_time, |count| {
        // Through valid(): the running statistics of clones are one.
        let net = net.valid().train().with_wing(objective.wing());
        let clean = Tensor::zeros([count, channels, height, width], &device);
        let batch = TrainingBatch {
            adversarial: clean.clone(),
            clean,
            labels: Tensor::<1, Int>::zeros([count], &device),
        };
        let mut optimiser = Sgd::new(config.momentum, config.weight_decay);
        let model = TrainingModel { model: net, parameters: parameters.clone() };
        let settings = StepSettings::new(0.0);
        let made = step_with_parameters(model, objective.as_ref(), &mut optimiser, &batch, &settings);
        drop(made.expect("the model is in training with the objective's wing"));
    })
}

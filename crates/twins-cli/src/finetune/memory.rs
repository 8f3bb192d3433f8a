//! Whether a training batch fits into memory.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use burn_twins::data::ImageDataset;
use burn_twins::models::Net;
use burn_twins::nn::TwinsModule;
use burn_twins::train::{
    At, Mart, Method, Objective, Sgd, StepSettings, Trades, TrainConfig, TrainingBatch, TwinsAt, TwinsTrades,
    step,
};

use crate::finetune::cli::Cli;
use crate::support::Outcome;

/// Makes steps with small batches on a copy of the model, and tells from them whether the batches of the training fit.
pub fn check(
    cli: &Cli,
    config: &TrainConfig,
    method: Method,
    net: &Net,
    images: &dyn ImageDataset,
    device: &Device,
) -> Outcome {
    let (lambda, beta) = (config.lambda, config.beta);
    let objective: Box<dyn Objective<Net>> = match method {
        Method::Standard | Method::At => Box::new(At),
        // AutoLoRa, too, runs two passes of the whole batch.
        Method::Trades | Method::AutoLora => Box::new(Trades { beta }),
        Method::Mart => Box::new(Mart { beta }),
        Method::TwinsAt => Box::new(TwinsAt { lambda }),
        Method::TwinsTrades => Box::new(TwinsTrades { lambda, beta }),
    };
    let [channels, height, width] = images.image_shape();
    let device = device.clone().autodiff();
    // Of the parts that a step is divided into, one for each device is in memory at a time.
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
        let made = step(net, objective.as_ref(), &mut optimiser, &batch, &StepSettings::new(0.0));
        drop(made.expect("the model is in training with the objective's wing"));
    })
}

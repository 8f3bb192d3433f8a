use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use twins_data::ImageDataset;
use twins_models::Net;
use twins_nn::TwinsModule;
use twins_train::{Sgd, StepSettings, TrainConfig, TrainingBatch, TrainingModel, step_with_parameters};

use crate::devices::{BatchMemory, available_memory};
use crate::error::ExperimentError;
use crate::settings::ComputeConfig;

/// Estimates whether the batches of the training fit into the memory of a CPU, from steps with small batches on a copy of the model.
pub(super) fn check_memory(
    compute: &ComputeConfig,
    config: &TrainConfig,
    net: &Net,
    images: &dyn ImageDataset,
    device: &Device,
) -> Result<(), ExperimentError> {
    let objective = config.method.objective::<Net>(config);
    let [channels, height, width] = images.image_shape();
    let device = device.clone().autodiff();
    let parameters = objective.parameters(&net.valid().train())?;
    // At any time, one micro-batch is in memory for each device.
    let batch_size = config.batch_size.min(images.len());
    let at_a_time = batch_size.div_ceil(config.accumulate.max(1));
    compute.check_memory(batch_size, at_a_time, |count| {
        // `valid()` makes an independent copy; clones would share running statistics.
        let net = net.valid().train().with_wing(objective.wing());
        let clean = Tensor::zeros([count, channels, height, width], &device);
        let labels = Tensor::<1, Int>::zeros([count], &device);
        let batch = TrainingBatch::new(clean.clone(), clean, labels);
        let mut optimiser = Sgd::new(config.momentum, config.weight_decay);
        let model = TrainingModel { model: net, parameters: parameters.valid().train() };
        let made =
            step_with_parameters(model, objective.as_ref(), &mut optimiser, &batch, &StepSettings::new(0.0));
        drop(made.expect("the model is in training with the objective's wing"));
    })
}

impl ComputeConfig {
    /// Checks, by running small batches, that a batch of `batch_size` images fits into memory, of which `at_a_time` images are in memory at
    /// once. These are more than `batch_size` if several shards have a batch each. Only CPUs are checked.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::Memory`], with the largest batch that fits.
    pub fn check_memory(
        &self,
        batch_size: usize,
        at_a_time: usize,
        mut run: impl FnMut(usize),
    ) -> Result<(), ExperimentError> {
        let on_cpu = self.devices.first().is_some_and(|device| device.is_cpu());
        let available = available_memory().filter(|_| on_cpu && self.memory_check);
        let Some(available) = available else { return Ok(()) };
        let measured = BatchMemory::measure(at_a_time, |images| -> Result<(), ExperimentError> {
            run(images);
            Ok(())
        })?;
        let Some(memory) = measured else { return Ok(()) };
        Ok(memory.check(at_a_time, available).map_err(|error| error.for_batch(batch_size))?)
    }
}

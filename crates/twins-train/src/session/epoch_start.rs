use std::sync::Arc;
use std::time::Instant;

use twins_data::{ImageDataset, Subset};
use twins_nn::ImageClassifier;

use super::running::{MODEL_IN_VALIDATION, Session};
use crate::data_parallel::evaluate_with;
use crate::error::TrainError;
use crate::objectives::{EpochStart, Objective};
use crate::random_keys::key;

impl<M: ImageClassifier> Session<M> {
    /// Lets the objective prepare for the epoch. Accuracies that were measured before the epoch was interrupted are not
    /// measured again.
    pub(super) fn begin_epoch(&mut self) -> Result<(), TrainError> {
        let epoch = self.state.epoch;
        // The probe has its own objective.
        if self.trainer.config.phase(epoch).is_probe {
            return Ok(());
        }
        let checkpoint = self.last_checkpoint();
        let Self { trainer, model, data, replicas, sums, .. } = self;
        let config = &trainer.config;
        let model = model.as_ref().expect("the model is back after every step");
        let mut measure = |name: &str, classifier: &M| {
            if let Some(measured) = sums.objective_accuracies.get(name) {
                return Ok(*measured);
            }
            let start = Instant::now();
            replicas.devices.seed(key(config.seed, &[MODEL_IN_VALIDATION, epoch as u64]));
            let images: Arc<dyn ImageDataset> =
                Arc::new(Subset::new(data.dataset.clone(), data.train.clone())?);
            let accuracy = evaluate_with(classifier, &images, None, config.batch_size, &replicas.devices)
                .map_err(|error| error.with_checkpoint(checkpoint.clone()))?
                .clean;
            sums.objective_accuracies.insert(name.to_owned(), accuracy);
            sums.measuring += start.elapsed().as_secs_f64();
            Ok(accuracy)
        };
        trainer.objective.begin_epoch(&mut EpochStart {
            epoch,
            model: &model.model,
            parameters: &model.parameters,
            measure: &mut measure,
        })
    }
}

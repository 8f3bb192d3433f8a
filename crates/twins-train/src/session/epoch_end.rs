use std::sync::Arc;
use std::time::Instant;

use twins_data::ImageDataset;
use twins_nn::{ImageClassifier, TwinsModule};

use super::progress::EpochBar;
use super::running::{MODEL_IN_VALIDATION, Session};
use crate::checkpoints::{Best, BestSource};
use crate::config::EvaluationProtocol;
use crate::data_parallel::evaluate_with;
use crate::error::TrainError;
use crate::metrics::Evaluation;
use crate::objectives::OBJECTIVE_PARAMETERS;
use crate::optimisers::Schedule;
use crate::parameters::Weights;

impl<M: ImageClassifier> Session<M> {
    /// Measures a model on the validation images; `None` if no images are held out.
    fn validate(&self, model: &M) -> Result<Option<Evaluation>, TrainError> {
        let validation = self.data.validation.as_ref();
        validation
            .map(|validation| self.evaluate(model, &validation.images, Some(&self.protocol)))
            .transpose()
    }

    fn evaluate(
        &self,
        model: &M,
        dataset: &Arc<dyn ImageDataset>,
        protocol: Option<&EvaluationProtocol>,
    ) -> Result<Evaluation, TrainError> {
        let batch_size = self.trainer.config.batch_size;
        evaluate_with(model, dataset, protocol, batch_size, &self.replicas.devices)
            .map_err(|error| error.with_checkpoint(self.last_checkpoint()))
    }

    /// Finishes an epoch: validates the model, compares it with the best so far, and writes the epoch's metrics and the
    /// new state.
    pub(super) fn finish_epoch(&mut self, bar: &EpochBar) -> Result<(), TrainError> {
        let start = Instant::now();
        let epoch = self.state.epoch + 1;
        self.seed_devices(MODEL_IN_VALIDATION, epoch);
        let weights = Weights::of(self.model());
        let raw = self.validate(&self.model().model)?;
        let train_clean = match &self.data.validation {
            Some(validation) => {
                Some(self.evaluate(&self.model().model, &validation.train_sample, None)?.clean)
            }
            None => None,
        };
        let averaged = match &self.ema {
            Some(ema) => self.validate(&ema.model().model)?,
            None => None,
        };
        let mut improved = raw.is_some_and(|raw| self.judge(epoch, BestSource::Raw, raw, &weights));
        if let (Some(evaluation), Some(ema)) = (averaged, &self.ema) {
            let averages = Weights::of(ema.model());
            improved |= self.judge(epoch, BestSource::Ema, evaluation, &averages);
        }
        let patience = match self.trainer.config.phase(self.state.epoch).schedule {
            Schedule::RobustAccuracy { patience, .. } => Some(*patience),
            _ => None,
        };
        self.state.count_epoch(patience);
        let sums = std::mem::take(&mut self.sums);
        let mut metrics = sums.into_metrics(
            (epoch, self.state.steps),
            self.learning_rate,
            self.optimiser.groups(),
            (raw, averaged),
            &weights,
            start.elapsed().as_secs_f64(),
        );
        metrics.train_clean_accuracy = train_clean;
        metrics.wing_drift = self.model().wing_drift();
        if let Some(directory) = &self.directory {
            directory.append_metrics(&metrics)?;
        }
        bar.warn(&self.trainer.observers.notify(|observer| observer.epoch(&metrics)));
        self.history.push(metrics);
        self.state.epoch += 1;
        self.state.step = 0;
        self.save()?;
        if improved { self.save_best() } else { Ok(()) }
    }

    fn judge(&mut self, epoch: usize, source: BestSource, evaluation: Evaluation, weights: &Weights) -> bool {
        let robust = evaluation.robust.unwrap_or(evaluation.clean);
        let better = self.state.judge(Best { epoch, source, clean: evaluation.clean, robust });
        if better {
            self.best = Some(weights.without(OBJECTIVE_PARAMETERS));
        }
        better
    }
}

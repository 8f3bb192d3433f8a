use std::path::PathBuf;

use burn::optim::GradientsParams;
use twins_attack::AttackError;
use twins_data::Batch;
use twins_nn::{ImageClassifier, WeightTrace};

use super::running::Session;
use crate::checkpoints::RunDirectory;
use crate::config::NonFinite;
use crate::data_parallel::{
    Failure, Load, MicroBatch, MicroBatches, Panicked, StepAdversary, TargetSettings,
};
use crate::error::TrainError;
use crate::metrics::StepReport;
use crate::objectives::TrainingImages;
use crate::optimisers::{StepSettings, checked_step, report, update};
use crate::parameters::{first_non_finite, in_words};
use crate::random_keys::key;

/// The purpose of the adversary's random draws, which is part of their key.
const ADVERSARY: u64 = 2;
/// The purpose of mixup's random draws.
const MIXUP: u64 = 5;

impl<M: ImageClassifier> Session<M> {
    /// Makes one step. `trace` is whether the relative change of each weight is recorded. Returns `None` if the batch
    /// was skipped.
    pub(super) fn train_on(&mut self, batch: Batch, trace: bool) -> Result<Option<StepReport>, TrainError> {
        let before = trace.then(|| WeightTrace::of(self.model(), &GradientsParams::new()));
        let config = &self.trainer.config;
        let phase = config.phase(self.state.epoch);
        self.adversary = config.adversary_at(self.position(self.state.step))?;
        let awp = config.awp.filter(|_| !phase.is_probe);
        let settings = StepSettings {
            learning_rate: self.learning_rate,
            gradient_clip: config.gradient_clip,
            awp_gamma: awp.and_then(|awp| awp.gamma_at(self.state.epoch - phase.start)),
        };
        let outcome = match self.replicas.has_several_parts(batch.labels.len()) {
            true => self.parallel_step(&batch, &settings),
            false => self.whole_step(&batch, &settings),
        };
        let report = match outcome {
            Ok(report) => report,
            // Attacks whose losses are read on the host detect a non-finite value before the step does.
            Err(Failure::Attack(AttackError::Logits { .. })) if self.skips() => {
                self.sums.skipped += 1;
                return Ok(None);
            }
            Err(Failure::Attack(AttackError::Logits { value, .. })) => {
                let what = format!("a logit that the adversary looked at is not finite ({value})");
                let origin = first_non_finite(self.model());
                let origin = origin.map_or("all weights are finite".to_owned(), |path| in_words(&path));
                return Err(self.non_finite(what, origin));
            }
            Err(Failure::Attack(error)) => return Err(error.into()),
            Err(Failure::Device(panicked)) => return Err(self.device_error(panicked)),
        };
        if let Some(before) = before {
            let updates = before.changes(self.model()).into_iter();
            self.sums.relative_updates =
                updates.map(|change| (change.path.clone(), change.effective_learning_rate())).collect();
        }
        self.take_report(report)
    }

    fn whole_step(&mut self, batch: &Batch, settings: &StepSettings) -> Result<StepReport, Failure> {
        let mut whole = MicroBatch::cut(batch, 0..batch.labels.len(), self.replicas.devices.main());
        let adversary = self.step_adversary();
        let replica_adversary =
            adversary.as_ref().map(|adversary| adversary.for_replica(&self.model().model));
        let batch = whole.prepare(replica_adversary.as_ref(), &self.target_settings())?;
        // Its copy of the model is not needed in memory during the training pass.
        drop(replica_adversary);
        let model = self.model.take().expect("the model is back after every step");
        let objective = self.trainer.objective_at(self.state.epoch);
        let (model, report) = checked_step(model, objective, self.optimiser.as_mut(), &batch, settings);
        self.model = Some(model);
        Ok(report)
    }

    fn parallel_step(&mut self, batch: &Batch, settings: &StepSettings) -> Result<StepReport, Failure> {
        let objective = self.trainer.objective_at(self.state.epoch);
        let (adversary, targets) = (self.step_adversary(), self.target_settings());
        let gathered = self.replicas.gather(
            self.model(),
            objective,
            adversary.as_ref(),
            &targets,
            batch,
            settings.awp_gamma,
        )?;
        let mut report = report(self.model(), &gathered.gradients, &gathered.measured);
        report.seek_origin(self.model());
        if report.non_finite().is_none() {
            let model = self.model.take().expect("the model is back after every step");
            let model = self.replicas.keep_statistics(model, &gathered);
            let model = update(model, &gathered.gradients, &report, self.optimiser.as_mut(), settings);
            self.model = Some(model);
        }
        Ok(report)
    }

    /// The step's adversary; `None` if the step trains on clean images.
    fn step_adversary(&self) -> Option<StepAdversary<'_>> {
        let key = key(self.trainer.config.seed, &[ADVERSARY, self.state.steps as u64]);
        match self.trainer.objective_at(self.state.epoch).images() {
            TrainingImages::Clean => None,
            TrainingImages::Adversarial => {
                let precision = self.trainer.config.attack_precision;
                self.adversary.as_ref().map(|attack| StepAdversary { attack, precision, key })
            }
        }
    }

    fn target_settings(&self) -> TargetSettings {
        let config = &self.trainer.config;
        TargetSettings {
            label_smoothing: config.label_smoothing,
            mixup: config.mixup,
            key: key(config.seed, &[MIXUP, self.state.steps as u64]),
        }
    }

    fn take_report(&mut self, report: StepReport) -> Result<Option<StepReport>, TrainError> {
        if let Some(what) = report.non_finite() {
            if self.skips() {
                self.sums.skipped += 1;
                return Ok(None);
            }
            return Err(self.non_finite(what, report.non_finite_origin().unwrap_or_default()));
        }
        self.sums.add(&report);
        if let (Some(ema), Some(model)) = (&mut self.ema, &self.model) {
            ema.update(model);
        }
        Ok(Some(report))
    }

    fn non_finite(&self, what: String, origin: String) -> TrainError {
        TrainError::NonFinite {
            what,
            origin,
            epoch: self.state.epoch + 1,
            step: self.state.step + 1,
            learning_rate: self.learning_rate,
            checkpoint: self.last_checkpoint(),
        }
    }

    /// Creates the error for a panic at the current position.
    pub(super) fn device_error(&self, panicked: Panicked) -> TrainError {
        let config = &self.trainer.config;
        let epoch = self.state.epoch + 1;
        let steps = self.order.steps(self.data.train.len());
        let work = if self.state.step < steps {
            format!("at step {} of epoch {epoch}", self.state.step + 1)
        } else {
            format!("at the end of epoch {epoch}")
        };
        let smallest = self.replicas.division.smallest_part();
        let micro_batches = Some(MicroBatches { accumulate: config.accumulate, smallest });
        let load = Load { batch_size: config.batch_size, micro_batches };
        panicked.into_error(work, load, self.last_checkpoint())
    }

    pub(super) fn last_checkpoint(&self) -> Option<PathBuf> {
        self.directory.as_ref().and_then(RunDirectory::newest)
    }

    fn skips(&self) -> bool {
        self.trainer.config.non_finite == NonFinite::SkipBatch
    }
}

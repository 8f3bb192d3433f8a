use burn::optim::GradientsParams;
use burn::tensor::{Int, Tensor};
use twins_attack::{AtPrecision, AttackError};
use twins_data::Batch;
use twins_nn::WeightTrace;

use super::Session;
use crate::keys::key;
use crate::run_directory::RunDirectory;
use crate::{
    ImageClassifier, NonFinite, StepReport, StepSettings, TrainError, TrainingBatch, TrainingImages, step,
};

/// What the draws of the adversary are for, as part of their key.
const ADVERSARY: u64 = 2;

impl<M: ImageClassifier> Session<M> {
    /// Takes one step; `trace` notes what it does to each weight.
    pub(super) fn train_on(&mut self, batch: Batch, trace: bool) -> Result<(), TrainError> {
        let model = self.model.take().expect("the model is back after every step");
        let clean = batch.images;
        let adversarial = match self.trainer.objective.images() {
            TrainingImages::Clean => clean.clone(),
            TrainingImages::Adversarial => {
                let precision = self.trainer.config.attack_precision;
                let copy = precision.copy(&model);
                let draws = key(self.trainer.config.seed, &[ADVERSARY, self.state.steps as u64]);
                let victim = AtPrecision::new(|images: Tensor<4>| copy.logits(images), precision);
                match self.adversary.perturb(&victim, clean.clone(), &batch.labels, draws) {
                    Ok(adversarial) => adversarial,
                    // Losses that are looked at on the host see it before the step does.
                    Err(AttackError::Logits { .. }) if self.skips() => {
                        self.model = Some(model);
                        self.sums.skipped += 1;
                        return Ok(());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let labels: Vec<i64> = batch.labels.iter().map(|label| *label as i64).collect();
        let labels = Tensor::<1, Int>::from_data(labels.as_slice(), &self.device);
        let batch = TrainingBatch {
            clean: Tensor::from_inner(clean),
            adversarial: Tensor::from_inner(adversarial),
            labels: Tensor::from_inner(labels),
        };
        let before = trace.then(|| WeightTrace::of(&model, &GradientsParams::new()));
        let config = &self.trainer.config;
        let settings = StepSettings {
            learning_rate: self.learning_rate,
            gradient_clip: config.gradient_clip,
            awp_gamma: config.awp.and_then(|awp| awp.gamma_at(self.state.epoch)),
        };
        let objective = self.trainer.objective.as_ref();
        let (model, report) = step(model, objective, &mut self.optimiser, &batch, &settings);
        if let Some(before) = before {
            let updates = before.changes(&model).into_iter();
            self.sums.relative_updates =
                updates.map(|change| (change.path.clone(), change.effective_learning_rate())).collect();
        }
        self.model = Some(model);
        self.take_report(report)
    }

    fn take_report(&mut self, report: StepReport) -> Result<(), TrainError> {
        if let Some(what) = report.non_finite() {
            if self.skips() {
                self.sums.skipped += 1;
                return Ok(());
            }
            return Err(TrainError::NonFinite {
                what,
                epoch: self.state.epoch + 1,
                step: self.state.step + 1,
                learning_rate: self.learning_rate,
                checkpoint: self.directory.as_ref().map(RunDirectory::last).filter(|path| path.exists()),
            });
        }
        self.sums.add(&report);
        if let (Some(ema), Some(model)) = (&mut self.ema, &self.model) {
            ema.update(model);
        }
        Ok(())
    }

    fn skips(&self) -> bool {
        self.trainer.config.non_finite == NonFinite::SkipBatch
    }
}

use std::time::Instant;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};
use twins_attack::Pgd;
use twins_data::Batch;
use twins_nn::{TwinsModule, WeightTrace};

use crate::checkpoint::Checkpoint;
use crate::ema::Ema;
use crate::keys::key;
use crate::loader::Loader;
use crate::metrics::EpochSums;
use crate::order::{batch_count, epoch_batches};
use crate::progress::EpochBar;
use crate::run_directory::RunDirectory;
use crate::state::State;
use crate::trainer::Data;
use crate::tuning::Scope;
use crate::weights::Weights;
use crate::{
    Best, BestSource, Ended, EpochMetrics, Evaluation, ImageClassifier, NonFinite, Position, Schedule, Sgd,
    StepReport, TrainError, Trained, Trainer, TrainingBatch, TrainingImages, evaluate, step,
};

/// What random draws are for, as part of their key.
const AUGMENTATION: u64 = 1;
const ADVERSARY: u64 = 2;

/// One training in progress.
pub(crate) struct Session<M> {
    trainer: Trainer<M>,
    device: Device,
    data: Data,
    directory: Option<RunDirectory>,
    adversary: Pgd,
    validation_attack: Pgd,
    /// Taken for the time of a step.
    model: Option<M>,
    scope: Scope,
    optimiser: Sgd,
    ema: Option<Ema<M>>,
    best: Option<Weights>,
    state: State,
    sums: EpochSums,
    history: Vec<EpochMetrics>,
    fell_back: Option<TrainError>,
    learning_rate: f64,
}

impl<M: ImageClassifier> Session<M> {
    pub(crate) fn new(trainer: Trainer<M>, model: M, device: Device, data: Data) -> Result<Self, TrainError> {
        model.check_statistics()?;
        let config = &trainer.config;
        let (adversary, validation_attack) =
            (config.adversary.build()?, config.validation.adversary.build()?);
        let optimiser = Sgd::new(config.momentum, config.weight_decay);
        let scope = Scope::of(&model, config.tuning, &config.freeze)?;
        let directory = trainer.open_run()?;
        let state = State { data_key: data.key, ..State::default() };
        let mut session = Self {
            trainer,
            device,
            data,
            directory,
            adversary,
            validation_attack,
            model: Some(model),
            scope,
            optimiser,
            ema: None,
            best: None,
            state,
            sums: EpochSums::default(),
            history: Vec::new(),
            fell_back: None,
            learning_rate: 0.0,
        };
        session.ema = session.trainer.config.ema_decay.map(|decay| Ema::new(session.model(), decay));
        if !session.resume()?
            && let Some(directory) = &session.directory
        {
            directory.rewind_metrics(0)?;
            directory.write_config(&session.trainer.config)?;
        }
        Ok(session)
    }

    pub(crate) fn run(mut self) -> Result<Trained<M>, TrainError> {
        let ended = loop {
            if self.state.epoch >= self.trainer.config.epochs {
                break Ended::Completed;
            }
            let patience = self.trainer.config.early_stopping;
            if patience.is_some_and(|patience| self.state.since_best >= patience) {
                break Ended::StoppedEarly;
            }
            if !self.run_epoch()? {
                break Ended::Interrupted;
            }
        };
        let last = self.model.take().expect("the model is back after every step");
        let best = match &self.best {
            Some(weights) => weights.load_into(last.valid().train())?,
            None => last.valid().train(),
        };
        Ok(Trained {
            last,
            best,
            best_epoch: self.state.best,
            history: self.history,
            ended,
            fell_back: self.fell_back,
        })
    }

    fn model(&self) -> &M {
        self.model.as_ref().expect("the model is back after every step")
    }

    /// Runs the rest of the current epoch; false where the stop flag ended it.
    fn run_epoch(&mut self) -> Result<bool, TrainError> {
        let config = self.trainer.config.clone();
        let epoch = self.state.epoch;
        let steps = batch_count(self.data.train.len(), config.batch_size);
        let batches = epoch_batches(&self.data.train, config.batch_size, config.seed, epoch);
        let wing = self.trainer.objective.wing();
        self.model = self.model.take().map(|model| self.scope.apply(model, epoch, wing));
        let mut loader = Loader::start(
            self.data.dataset.clone(),
            batches[self.state.step..].to_vec(),
            Some(config.augmentation.clone()),
            key(config.seed, &[AUGMENTATION, epoch as u64]),
            self.device.clone(),
        );
        let bar = EpochBar::start(self.trainer.display, epoch, config.epochs, steps, self.state.step);
        let mut clock = Instant::now();
        let (seconds_before, waiting_before) = (self.sums.seconds, self.sums.waiting);
        let mut seconds = 0.0;
        while let Some(batch) = loader.next() {
            let batch = batch?;
            self.learning_rate = self.rate_at(steps);
            self.train_on(batch, self.state.step + 1 == steps)?;
            self.state.step += 1;
            self.state.steps += 1;
            seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            self.sums.seconds = seconds_before + seconds;
            self.sums.waiting = waiting_before + loader.waited().as_secs_f64();
            bar.advance(&self.sums);
            let interrupted = self.trainer.interrupted();
            let due = config.checkpoint_steps.is_some_and(|every| self.state.steps.is_multiple_of(every));
            if interrupted || (due && self.state.step < steps) {
                self.save()?;
                clock = Instant::now();
            }
            if interrupted {
                return Ok(false);
            }
        }
        bar.validating();
        self.finish_epoch()?;
        bar.finish();
        Ok(true)
    }

    fn rate_at(&self, steps: usize) -> f64 {
        let config = &self.trainer.config;
        let (epoch, step, plateaus) = (self.state.epoch, self.state.step, self.state.plateaus);
        let position = Position { epoch, epochs: config.epochs, step, steps, plateaus };
        let warm_steps = config.warmup_epochs * steps as f64;
        let done = (epoch * steps + step + 1) as f64;
        let warm = if done < warm_steps { done / warm_steps } else { 1.0 };
        config.learning_rate * warm * config.schedule.factor(position)
    }

    /// Takes one step; `trace` notes what it does to each weight.
    fn train_on(&mut self, batch: Batch, trace: bool) -> Result<(), TrainError> {
        let model = self.model.take().expect("the model is back after every step");
        let clean = batch.images;
        let adversarial = match self.trainer.objective.images() {
            TrainingImages::Clean => clean.clone(),
            TrainingImages::Adversarial => {
                let victim = model.valid();
                let draws = key(self.trainer.config.seed, &[ADVERSARY, self.state.steps as u64]);
                let logits = |images: Tensor<4>| victim.logits(images);
                self.adversary.perturb(&logits, clean.clone(), &batch.labels, draws)?
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
        let (model, report) = step(
            model,
            self.trainer.objective.as_ref(),
            &mut self.optimiser,
            &batch,
            self.learning_rate,
            config.gradient_clip,
        );
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
            if self.trainer.config.non_finite == NonFinite::SkipBatch {
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

    fn validate(&self, model: &M) -> Result<Evaluation, TrainError> {
        evaluate(model, &self.data.validation, Some(&self.validation_attack), self.trainer.config.batch_size)
    }

    fn finish_epoch(&mut self) -> Result<(), TrainError> {
        let start = Instant::now();
        let epoch = self.state.epoch + 1;
        let weights = Weights::of(self.model());
        let raw = self.validate(self.model())?;
        let train_clean =
            evaluate(self.model(), &self.data.train_sample, None, self.trainer.config.batch_size)?.clean;
        let averaged = match &self.ema {
            Some(ema) => Some(self.validate(ema.model())?),
            None => None,
        };
        let mut improved = self.judge(epoch, BestSource::Raw, raw, &weights);
        if let (Some(evaluation), Some(ema)) = (averaged, &self.ema) {
            let averages = Weights::of(ema.model());
            improved |= self.judge(epoch, BestSource::Ema, evaluation, &averages);
        }
        let patience = match self.trainer.config.schedule {
            Schedule::RobustAccuracy { patience, .. } => Some(patience),
            _ => None,
        };
        self.state.count_epoch(improved, patience);
        if improved {
            self.save_best()?;
        }

        let sums = std::mem::take(&mut self.sums);
        let mut metrics = sums.into_metrics(
            (epoch, self.state.steps),
            self.learning_rate,
            (raw, averaged),
            &weights,
            start.elapsed().as_secs_f64(),
        );
        metrics.train_clean_accuracy = Some(train_clean);
        metrics.wing_drift = self.model().wing_drift();
        if let Some(directory) = &self.directory {
            directory.append_metrics(&metrics)?;
        }
        if let Some(observer) = &mut self.trainer.observer {
            observer(&metrics);
        }
        self.history.push(metrics);
        self.state.epoch += 1;
        self.state.step = 0;
        self.save()
    }

    fn judge(&mut self, epoch: usize, source: BestSource, evaluation: Evaluation, weights: &Weights) -> bool {
        let robust = evaluation.robust.unwrap_or(evaluation.clean);
        let better = self.state.judge(Best { epoch, source, clean: evaluation.clean, robust });
        if better {
            self.best = Some(weights.clone());
        }
        better
    }

    /// Writes the weights alone, under their plain names.
    fn save_best(&self) -> Result<(), TrainError> {
        let (Some(directory), Some(weights)) = (&self.directory, &self.best) else { return Ok(()) };
        let mut metadata = self.trainer.metadata.clone();
        let best = serde_json::to_string(&self.state.best).expect("plain data");
        metadata.insert("best".to_owned(), best);
        directory.write_best(&Checkpoint { metadata, tensors: weights.0.clone() })
    }

    /// Writes everything that the continuation depends on.
    fn save(&mut self) -> Result<(), TrainError> {
        self.state.sums = (&self.sums).into();
        let Some(directory) = &self.directory else { return Ok(()) };
        let mut checkpoint = Checkpoint::default();
        checkpoint.metadata.insert("state".to_owned(), self.state.to_json());
        checkpoint.insert("model", &Weights::of(self.model()).0);
        checkpoint.insert("velocity", &self.optimiser.velocity());
        if let Some(ema) = &self.ema {
            checkpoint.insert("ema", &Weights::of(ema.model()).0);
        }
        directory.write_last(&checkpoint)
    }

    /// Takes over the last good checkpoint; false where there is none.
    fn resume(&mut self) -> Result<bool, TrainError> {
        let Some(directory) = self.directory.clone() else { return Ok(false) };
        let Some((mut checkpoint, problem)) = directory.read_last()? else { return Ok(false) };
        let broken = |problem| TrainError::Checkpoint { path: directory.last(), problem };
        let state = checkpoint.metadata.get("state").ok_or("it has no state".to_owned());
        self.state = state.and_then(|text| State::from_json(text)).map_err(broken)?;
        self.state.check_data(self.data.key)?;
        self.sums = (&self.state.sums).into();
        let model = self.model.take().expect("the model is back after every step");
        self.model = Some(Weights(checkpoint.take("model")).load_into(model)?);
        self.optimiser = self.optimiser.clone().with_velocity(checkpoint.take("velocity"), &self.device);
        if let Some(ema) = &mut self.ema {
            ema.load(&Weights(checkpoint.take("ema")))?;
        }
        // Where the run ended between writing the best weights and the state, they are of a later epoch, which will be
        // run again and write the same.
        self.fell_back = problem;
        match directory.read_best() {
            Ok(best) => self.best = best.map(|best| Weights(best.tensors)),
            Err(problem) => self.fell_back = Some(problem),
        }
        if self.best.is_none() {
            self.state.best = None;
        }
        self.history = directory.rewind_metrics(self.state.epoch)?;
        Ok(true)
    }
}

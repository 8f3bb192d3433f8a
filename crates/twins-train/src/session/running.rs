use std::collections::BTreeMap;
use std::time::Instant;

use burn::tensor::Device;
use twins_attack::Pgd;
use twins_nn::{ImageClassifier, TwinsModule};

use super::progress::EpochBar;
use super::scope::Scope;
use super::trained::{Ended, Trained};
use super::trainer::{Data, Trainer};
use crate::checkpoints::{RunDirectory, State};
use crate::config::EvaluationProtocol;
use crate::data_parallel::{Loader, Order, Replicas, guard};
use crate::error::TrainError;
use crate::metrics::{Completed, EpochMetrics, EpochSums, StepRecord};
use crate::objectives::{Objective, TrainingModel};
use crate::optimisers::{Ema, Optimiser, Position};
use crate::parameters::Weights;
use crate::random_keys::key;

/// The purpose of augmentation's random draws, which is part of their key.
const AUGMENTATION: u64 = 1;
/// The purposes of random draws inside the model, such as those of dropout, in a step and in the validation of an
/// epoch.
const MODEL_IN_STEP: u64 = 3;
pub(super) const MODEL_IN_VALIDATION: u64 = 4;

/// A training run in progress.
pub(crate) struct Session<M> {
    pub(super) trainer: Trainer<M>,
    pub(super) replicas: Replicas,
    pub(super) order: Order,
    pub(super) data: Data,
    pub(super) directory: Option<RunDirectory>,
    /// The adversary of the current step; `None` while the epsilon schedule sets epsilon to 0.
    pub(super) adversary: Option<Pgd>,
    pub(super) protocol: EvaluationProtocol,
    /// `None` only during a step.
    pub(super) model: Option<TrainingModel<M>>,
    pub(super) scope: Scope,
    pub(super) optimiser: Box<dyn Optimiser>,
    pub(super) ema: Option<Ema<TrainingModel<M>>>,
    pub(super) best: Option<Weights>,
    pub(super) state: State,
    pub(super) sums: EpochSums,
    pub(super) history: Vec<EpochMetrics>,
    pub(super) damaged_checkpoint: Option<TrainError>,
    pub(super) learning_rate: f64,
    /// The loader that prepares the batches of the next epoch.
    ahead: Option<Loader>,
}

impl<M: ImageClassifier> Session<M> {
    pub(crate) fn new(
        trainer: Trainer<M>,
        model: TrainingModel<M>,
        devices: &[Device],
        data: Data,
    ) -> Result<Self, TrainError> {
        model.check_statistics()?;
        let config = &trainer.config;
        let protocol = config.validation_protocol()?;
        let order = Order::new(config);
        let replicas = Replicas::new(devices, &model, config, trainer.objective.wing());
        let images = data.train.len();
        if order.steps(images) == 0 {
            return Err(TrainError::NoFullBatch { images, batch_size: config.batch_size });
        }
        replicas.division.check(config.batch_size, Some(order.smallest_batch(images)))?;
        let optimiser = config.optimiser_for(&model.model)?;
        let scope = Scope::of(&model, &config.tuning, &config.freeze)?;
        let directory = trainer.open_run()?;
        let state = State::new(data.key);
        let mut session = Self {
            trainer,
            replicas,
            order,
            data,
            directory,
            adversary: None,
            protocol,
            model: Some(model),
            scope,
            optimiser,
            ema: None,
            best: None,
            state,
            sums: EpochSums::default(),
            history: Vec::new(),
            damaged_checkpoint: None,
            learning_rate: 0.0,
            ahead: None,
        };
        session.ema = session.trainer.config.ema_decay.map(|decay| Ema::new(session.model(), decay));
        let resumed = session.resume()?;
        if let Some(directory) = &session.directory {
            if !resumed {
                directory.rewind_metrics(0)?;
            }
            // A resumed run may have more epochs than it was started with.
            if directory.read_config()?.as_ref() != Some(&session.trainer.config) {
                directory.write_config(&session.trainer.config)?;
            }
        }
        let completed = Completed { epochs: session.state.epoch, steps: session.state.steps };
        session.trainer.observers.begin(|observer| observer.begin(completed))?;
        Ok(session)
    }

    pub(crate) fn run(mut self) -> Result<Trained<M>, TrainError> {
        let ended = loop {
            if self.state.epoch >= self.trainer.config.epochs {
                break Ended::Completed;
            }
            let phase = self.trainer.config.phase(self.state.epoch);
            let (is_probe, start) = (phase.is_probe, phase.start);
            if (self.state.epoch, self.state.step) == (start, 0) {
                self.begin_phase();
            }
            let patience = self.trainer.config.early_stopping.filter(|_| !is_probe);
            if patience.is_some_and(|patience| self.state.since_rise >= patience) {
                break Ended::StoppedEarly;
            }
            if !self.run_epoch_guarded()? {
                break Ended::Interrupted;
            }
        };
        let last = self.model.take().expect("the model is back after every step").model;
        let last = self.scope.restore(last);
        let best = match &self.best {
            Some(weights) => weights.load_into(last.valid().train())?,
            // Nothing was validated: the result is the last weights, or their moving average if there is one.
            None => match &self.ema {
                Some(ema) => Weights::of(&ema.model().model).load_into(last.valid().train())?,
                None => last.valid().train(),
            },
        };
        Ok(Trained {
            last,
            best,
            best_epoch: self.state.best,
            history: self.history,
            ended,
            damaged_checkpoint: self.damaged_checkpoint,
            observer_errors: self.trainer.observers.into_errors(),
        })
    }

    /// Resets the optimiser, the averaged weights and the counters, which changes nothing at the beginning of the run. A
    /// run that is resumed between the probe and the full phase also calls this method.
    fn begin_phase(&mut self) {
        let config = &self.trainer.config;
        self.optimiser.load_state(BTreeMap::new(), self.replicas.devices.main());
        self.ema = config.ema_decay.map(|decay| Ema::new(self.model(), decay));
        self.state.reset_counts();
    }

    pub(super) fn model(&self) -> &TrainingModel<M> {
        self.model.as_ref().expect("the model is back after every step")
    }

    /// Like [`run_epoch`](Self::run_epoch), but converts a panic to an error. The run can be resumed afterwards, because
    /// the inconsistent state that a panic may leave is only in memory and is not written.
    fn run_epoch_guarded(&mut self) -> Result<bool, TrainError> {
        let devices = self.replicas.devices.list().len();
        guard(devices, || self.run_epoch()).unwrap_or_else(|panicked| Err(self.device_error(panicked)))
    }

    /// Runs the rest of the current epoch. Returns false if the stop flag ended it.
    fn run_epoch(&mut self) -> Result<bool, TrainError> {
        let config = self.trainer.config.clone();
        let epoch = self.state.epoch;
        let steps = self.order.steps(self.data.train.len());
        let wing = self.trainer.objective.wing();
        self.model = self.model.take().map(|model| self.scope.apply(model, epoch, wing));
        self.begin_epoch()?;
        // Needed for the metrics of an epoch that was interrupted after its last step.
        if let Some(last) = self.state.step.checked_sub(1) {
            self.learning_rate = self.rate_at(last);
        }
        let ahead = self.ahead.take();
        let mut loader = ahead.unwrap_or_else(|| self.load(epoch, self.state.step));
        let bar = EpochBar::start(
            self.trainer.display,
            epoch,
            config.epochs,
            steps,
            self.state.step,
            self.history.last(),
        );
        let mut clock = Instant::now();
        let (seconds_before, waiting_before) = (self.sums.seconds, self.sums.waiting);
        let mut seconds = 0.0;
        while let Some(batch) = loader.next() {
            let batch = batch?;
            self.learning_rate = self.rate_at(self.state.step);
            self.seed_devices(MODEL_IN_STEP, self.state.steps);
            let report = self.train_on(batch, self.state.step + 1 == steps)?;
            self.state.step += 1;
            self.state.steps += 1;
            let step_seconds = clock.elapsed().as_secs_f64();
            seconds += step_seconds;
            clock = Instant::now();
            self.sums.seconds = seconds_before + seconds;
            self.sums.waiting = waiting_before + loader.waited().as_secs_f64();
            bar.advance(&self.sums);
            if let Some(report) = report {
                let position = (self.state.steps, epoch + 1);
                let record = StepRecord::new(position, self.learning_rate, &report, step_seconds);
                bar.warn(&self.trainer.observers.notify(|observer| observer.step(&record)));
            }
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
        // The batches of the next epoch are prepared while this epoch is validated.
        if epoch + 1 < config.epochs {
            self.ahead = Some(self.load(epoch + 1, 0));
        }
        bar.validating();
        self.finish_epoch(&bar)?;
        bar.finish();
        Ok(true)
    }

    /// Starts to prepare the batches of an epoch, from the given step on.
    fn load(&self, epoch: usize, step: usize) -> Loader {
        let config = &self.trainer.config;
        Loader::start(
            self.data.dataset.clone(),
            self.order.batches(&self.data.train, config.seed, epoch).split_off(step),
            Some(config.augmentation.clone()),
            key(config.seed, &[AUGMENTATION, epoch as u64]),
            self.replicas.devices.main().clone(),
        )
    }

    /// Seeds the generators of the devices, so that random draws inside the model depend only on the seed and the
    /// position. The state of Burn's generators cannot be saved.
    pub(super) fn seed_devices(&self, purpose: u64, position: usize) {
        self.replicas.devices.seed(key(self.trainer.config.seed, &[purpose, position as u64]));
    }

    /// The position of a step of the current epoch; `step` counts from 0.
    pub(super) fn position(&self, step: usize) -> Position {
        let (epoch, plateaus) = (self.state.epoch, self.state.plateaus);
        let steps = self.order.steps(self.data.train.len());
        Position { epoch, epochs: self.trainer.config.epochs, step, steps, plateaus }
    }

    /// The learning rate of a step of the current epoch; `step` counts from 0.
    fn rate_at(&self, step: usize) -> f64 {
        self.trainer.config.phase(self.state.epoch).learning_rate(self.position(step))
    }
}

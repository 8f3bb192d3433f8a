use twins_nn::ImageClassifier;

use super::running::Session;
use crate::checkpoints::{Checkpoint, State};
use crate::error::TrainError;
use crate::parameters::Weights;

impl<M: ImageClassifier> Session<M> {
    /// Writes only the best weights, under their names in the model. This file is for users; resuming a run does not
    /// need it.
    pub(super) fn save_best(&self) -> Result<(), TrainError> {
        match (&self.directory, self.best_file()) {
            (Some(directory), Some(file)) => directory.write_best(&file),
            _ => Ok(()),
        }
    }

    fn best_file(&self) -> Option<Checkpoint> {
        let mut metadata = self.trainer.metadata.clone();
        let best = serde_json::to_string(&self.state.best).expect("plain data");
        metadata.insert("best".to_owned(), best);
        self.best.as_ref().map(|weights| Checkpoint { metadata, tensors: weights.0.clone() })
    }

    /// Writes everything that is needed to resume the run. The best weights are in the same file as the state that names
    /// their epoch, so the two are consistent even if the process ends at any moment.
    pub(super) fn save(&mut self) -> Result<(), TrainError> {
        self.state.sums = (&self.sums).into();
        let Some(directory) = &self.directory else { return Ok(()) };
        let mut checkpoint = Checkpoint::default();
        checkpoint.metadata.insert("state".to_owned(), self.state.to_json());
        checkpoint.insert("model", &Weights::of(self.model()).0);
        checkpoint.insert("optimiser", &self.optimiser.state());
        self.replicas.save_statistics(&mut checkpoint);
        if let Some(ema) = &self.ema {
            checkpoint.insert("ema", &Weights::of(ema.model()).0);
        }
        if let Some(best) = &self.best {
            checkpoint.insert("best", &best.0);
        }
        directory.write_last(&checkpoint)
    }

    /// Loads the last usable checkpoint. Returns false if there is no checkpoint.
    pub(super) fn resume(&mut self) -> Result<bool, TrainError> {
        let Some(directory) = self.directory.clone() else { return Ok(false) };
        let Some((mut checkpoint, problem)) = directory.read_last()? else { return Ok(false) };
        let broken = |problem| TrainError::Checkpoint { path: directory.last(), problem };
        let state = checkpoint.metadata.get("state").ok_or("it has no state".to_owned());
        self.state = state.and_then(|text| State::from_json(text)).map_err(broken)?;
        self.state.check_data(self.data.key)?;
        let (step, steps) = (self.state.step, self.order.steps(self.data.train.len()));
        if step > steps {
            return Err(broken(format!("it is at step {step} of an epoch of {steps} steps")));
        }
        self.sums = (&self.state.sums).into();
        let model = self.model.take().expect("the model is back after every step");
        self.model = Some(Weights(checkpoint.take("model")).load_into(model)?);
        let mut optimiser = checkpoint.take_flat("optimiser").map_err(broken)?;
        // Checkpoints of earlier versions, which had only SGD, use this name.
        optimiser.extend(checkpoint.take_flat("velocity").map_err(broken)?);
        self.optimiser.load_state(optimiser, self.replicas.devices.main());
        self.replicas.load_statistics(&mut checkpoint).map_err(broken)?;
        if let Some(ema) = &mut self.ema {
            ema.load(&Weights(checkpoint.take("ema")))?;
        }
        self.damaged_checkpoint = problem;
        let best = checkpoint.take("best");
        self.best = (!best.is_empty()).then_some(Weights(best));
        if self.best.is_some() != self.state.best.is_some() {
            return Err(broken(
                "its best weights and the epoch that they are of are not both there".to_owned(),
            ));
        }
        // The run may have ended between writing the state and the file of the best weights, or the file may be damaged.
        if directory.read_best().ok().flatten() != self.best_file() {
            self.save_best()?;
        }
        self.history = directory.rewind_metrics(self.state.epoch)?;
        Ok(true)
    }
}

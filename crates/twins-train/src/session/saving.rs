use super::Session;
use crate::checkpoint::Checkpoint;
use crate::state::State;
use crate::weights::Weights;
use crate::{ImageClassifier, TrainError};

impl<M: ImageClassifier> Session<M> {
    /// Writes the weights alone, under their plain names.
    pub(super) fn save_best(&self) -> Result<(), TrainError> {
        let (Some(directory), Some(weights)) = (&self.directory, &self.best) else { return Ok(()) };
        let mut metadata = self.trainer.metadata.clone();
        let best = serde_json::to_string(&self.state.best).expect("plain data");
        metadata.insert("best".to_owned(), best);
        directory.write_best(&Checkpoint { metadata, tensors: weights.0.clone() })
    }

    /// Writes everything that the continuation depends on.
    pub(super) fn save(&mut self) -> Result<(), TrainError> {
        self.state.sums = (&self.sums).into();
        let Some(directory) = &self.directory else { return Ok(()) };
        let mut checkpoint = Checkpoint::default();
        checkpoint.metadata.insert("state".to_owned(), self.state.to_json());
        checkpoint.insert("model", &Weights::of(self.model()).0);
        checkpoint.insert("velocity", &self.optimiser.velocity());
        self.team.save_statistics(&mut checkpoint);
        if let Some(ema) = &self.ema {
            checkpoint.insert("ema", &Weights::of(ema.model()).0);
        }
        directory.write_last(&checkpoint)
    }

    /// Takes over the last good checkpoint; false where there is none.
    pub(super) fn resume(&mut self) -> Result<bool, TrainError> {
        let Some(directory) = self.directory.clone() else { return Ok(false) };
        let Some((mut checkpoint, problem)) = directory.read_last()? else { return Ok(false) };
        let broken = |problem| TrainError::Checkpoint { path: directory.last(), problem };
        let state = checkpoint.metadata.get("state").ok_or("it has no state".to_owned());
        self.state = state.and_then(|text| State::from_json(text)).map_err(broken)?;
        self.state.check_data(self.data.key)?;
        self.sums = (&self.state.sums).into();
        let model = self.model.take().expect("the model is back after every step");
        self.model = Some(Weights(checkpoint.take("model")).load_into(model)?);
        self.optimiser =
            self.optimiser.clone().with_velocity(checkpoint.take("velocity"), self.team.devices.main());
        self.team.load_statistics(&mut checkpoint);
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

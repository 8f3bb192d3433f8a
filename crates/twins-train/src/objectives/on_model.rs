use twins_nn::{ImageClassifier, Wing};

use super::branched::Branched;
use super::objective::{Loss, Objective, TrainingBatch, TrainingImages};

/// An objective that knows of no branch.
pub(crate) struct OnModel<O>(pub(crate) O);

impl<M: ImageClassifier, O: Objective<M>> Objective<Branched<M>> for OnModel<O> {
    fn wing(&self) -> Wing {
        self.0.wing()
    }

    fn images(&self) -> TrainingImages {
        self.0.images()
    }

    fn loss(&self, model: &Branched<M>, batch: &TrainingBatch) -> Loss {
        self.0.loss(model.model(), batch)
    }
}

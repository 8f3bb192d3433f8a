use twins_nn::ImageClassifier;

use super::train_config::TrainConfig;
use crate::error::TrainError;
use crate::optimisers::{Optimiser, ParameterGroups};
use crate::parameters::Survey;

impl TrainConfig {
    /// Creates an optimiser for a model, before the first step.
    ///
    /// # Errors
    ///
    /// A separate learning rate for the head, if the model does not name its head.
    pub(crate) fn optimiser_for<M: ImageClassifier>(
        &self,
        model: &M,
    ) -> Result<Box<dyn Optimiser>, TrainError> {
        let mut groups = ParameterGroups::new().with_decay(self.groups.decay);
        if self.groups.head_learning_rate != 1.0 {
            let head = Survey::of(model).head_of(model)?;
            groups = groups.with_head(head, self.groups.head_learning_rate);
        }
        Ok(self.optimiser.build(self.momentum, self.weight_decay, groups))
    }
}

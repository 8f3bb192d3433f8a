use twins_nn::ImageClassifier;

use super::train_config::TrainConfig;
use crate::error::TrainError;
use crate::optimisers::{Optimiser, ParameterGroups};
use crate::parameters::Survey;

impl TrainConfig {
    /// An optimiser for a model that has not made a step.
    ///
    /// # Errors
    ///
    /// A learning rate of the head for a model whose head is not known.
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

use crate::error::TrainError;
use crate::metrics::Accuracy;
use crate::objectives::ObjectiveParameters;

/// A function that measures the accuracy of a classifier and records it under a name.
type Measure<'a, M> = dyn FnMut(&str, &M) -> Result<Accuracy, TrainError> + 'a;

/// The state of training at the start of an epoch, for [`Objective::begin_epoch`](crate::Objective::begin_epoch).
pub struct EpochStart<'a, M> {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The model that is trained.
    pub model: &'a M,
    /// The parameters of the objective.
    pub parameters: &'a ObjectiveParameters,
    pub(crate) measure: &'a mut Measure<'a, M>,
}

impl<M> EpochStart<'_, M> {
    /// Measures the clean accuracy of a classifier on all training images, in evaluation mode and without augmentation.
    ///
    /// `classifier` is the model, or the model with other weights. The accuracy is measured only once per epoch and
    /// `name`: the result is stored in checkpoints, so a resumed epoch does not measure it again. The result is also
    /// recorded in [`EpochMetrics::objective_accuracies`](crate::EpochMetrics::objective_accuracies).
    ///
    /// # Errors
    ///
    /// The errors of [`evaluate`](crate::evaluate).
    pub fn accuracy(&mut self, name: &str, classifier: &M) -> Result<Accuracy, TrainError> {
        (self.measure)(name, classifier)
    }
}

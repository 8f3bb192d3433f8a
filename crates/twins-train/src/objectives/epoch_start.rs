use crate::error::TrainError;
use crate::metrics::Accuracy;
use crate::objectives::ObjectiveParameters;

/// Measures the accuracy of a classifier under a name.
type Measure<'a, M> = dyn FnMut(&str, &M) -> Result<Accuracy, TrainError> + 'a;

/// The state of a training before an epoch, for [`Objective::begin_epoch`](crate::Objective::begin_epoch).
pub struct EpochStart<'a, M> {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The model as it is trained.
    pub model: &'a M,
    /// The parameters of the objective.
    pub parameters: &'a ObjectiveParameters,
    pub(crate) measure: &'a mut Measure<'a, M>,
}

impl<M> EpochStart<'_, M> {
    /// The clean accuracy of a classifier on all training images, in evaluation mode and without augmentation.
    ///
    /// `classifier` is the model, or the model with other weights. It is measured once per epoch and `name`: the result is
    /// stored in checkpoints, so that an epoch that is resumed does not measure again, and recorded in
    /// [`EpochMetrics::objective_accuracies`](crate::EpochMetrics::objective_accuracies).
    ///
    /// # Errors
    ///
    /// Those of [`evaluate`](crate::evaluate).
    pub fn accuracy(&mut self, name: &str, classifier: &M) -> Result<Accuracy, TrainError> {
        (self.measure)(name, classifier)
    }
}

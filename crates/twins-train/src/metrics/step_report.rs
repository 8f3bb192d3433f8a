use burn::module::Module;

use crate::parameters::{first_non_finite, in_words};

/// What one training step measured.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The loss that was differentiated.
    pub loss: f64,
    /// The frozen wing's unweighted share of it, where there is one.
    pub frozen_loss: Option<f64>,
    /// The adaptive wing's share.
    pub adaptive_loss: f64,
    /// Samples of the batch classified correctly in the training pass.
    pub correct: usize,
    /// Samples in the batch.
    pub samples: usize,
    /// Euclidean norm of the whole gradient, before clipping.
    pub gradient_norm: f64,
    /// Euclidean norm of each parameter's gradient, by path.
    pub gradient_norms: Vec<(String, f64)>,
    /// The first parameter or running statistic, in the model's order, that was not finite before the step. It is looked for
    /// where the loss or a gradient is not finite.
    pub non_finite_parameter: Option<String>,
}

impl StepReport {
    /// The first value that is NaN or infinite, in words: the loss, or else a gradient with its parameter.
    pub fn non_finite(&self) -> Option<String> {
        if !self.loss.is_finite() {
            return Some(format!("the loss is {}", self.loss));
        }
        self.non_finite_gradient().map(|(path, norm)| format!("the gradient of \"{path}\" has norm {norm}"))
    }

    /// Where it comes from, in words, as far as weights and gradients tell; `None` where everything is finite.
    ///
    /// A weight is named before a gradient: behind one that is not finite, all gradients are NaN.
    pub fn non_finite_origin(&self) -> Option<String> {
        self.non_finite()?;
        Some(match (&self.non_finite_parameter, self.non_finite_gradient()) {
            (Some(path), _) => in_words(path),
            (None, _) if self.loss.is_finite() => "the loss and all weights are finite".to_owned(),
            (None, Some((path, _))) => {
                format!("all weights are finite, the first gradient that is not is that of \"{path}\"")
            }
            (None, None) => "all weights and gradients are finite, the loss alone is not".to_owned(),
        })
    }

    fn non_finite_gradient(&self) -> Option<&(String, f64)> {
        self.gradient_norms.iter().find(|(_, norm)| !norm.is_finite())
    }

    /// Notes the first value of the model, as it was before the step, that is not finite, if anything is not.
    pub(crate) fn seek_origin<M: Module>(&mut self, before: &M) {
        if self.non_finite().is_some() {
            self.non_finite_parameter = first_non_finite(before);
        }
    }
}

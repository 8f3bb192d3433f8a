use burn::module::Module;

use crate::parameters::{first_non_finite, in_words};

/// The measurements of one training step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepReport {
    /// The loss that was differentiated.
    pub loss: f64,
    /// The frozen wing's unweighted part of the loss; `None` for objectives without two wings.
    pub frozen_loss: Option<f64>,
    /// The adaptive wing's part of the loss.
    pub adaptive_loss: f64,
    /// The number of samples of the batch that the training pass classified correctly.
    pub correct: usize,
    /// The number of samples in the batch.
    pub samples: usize,
    /// Euclidean norm of the whole gradient, before clipping.
    pub gradient_norm: f64,
    /// Euclidean norm of each parameter's gradient, by path.
    pub gradient_norms: Vec<(String, f64)>,
    /// The first parameter or running statistic, in the model's order, that was not finite before the step. It is only
    /// determined if the loss or a gradient is not finite.
    pub non_finite_parameter: Option<String>,
}

impl StepReport {
    /// Describes the first value that is NaN or infinite: the loss, with its wing for two-wing objectives, or else a gradient with its
    /// parameter. `None` if all values are finite.
    pub fn non_finite(&self) -> Option<String> {
        if !self.loss.is_finite() {
            return Some(self.non_finite_loss());
        }
        self.non_finite_gradient().map(|(path, norm)| format!("the gradient of \"{path}\" has norm {norm}"))
    }

    fn non_finite_loss(&self) -> String {
        let (loss, adaptive) = (self.loss, self.adaptive_loss);
        match self.frozen_loss.map(|frozen| (frozen, frozen.is_finite(), adaptive.is_finite())) {
            Some((frozen, false, true)) => {
                format!(
                    "the loss of the frozen wing is {frozen} (that of the adaptive wing is {adaptive:.3})"
                )
            }
            Some((frozen, true, false)) => {
                format!(
                    "the loss of the adaptive wing is {adaptive} (that of the frozen wing is {frozen:.3})"
                )
            }
            Some((frozen, false, false)) => {
                format!("the loss of the frozen wing is {frozen}, and that of the adaptive wing {adaptive}")
            }
            Some((_, true, true)) | None => format!("the loss is {loss}"),
        }
    }

    /// Describes the likely origin of a value that is not finite, judging from weights and gradients; `None` if all
    /// values are finite.
    ///
    /// A weight takes precedence over a gradient, because a weight that is not finite makes all gradients NaN.
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

    /// Records the first value that is not finite in the model before the step, if the loss or a gradient is not
    /// finite.
    pub(crate) fn seek_origin<M: Module>(&mut self, before: &M) {
        if self.non_finite().is_some() {
            self.non_finite_parameter = first_non_finite(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_is_not_finite_has_the_name_of_its_wing() {
        for (frozen, adaptive, words) in [
            (Some(f64::NAN), 2.0, "the loss of the frozen wing is NaN (that of the adaptive wing is 2.000)"),
            (
                Some(0.5),
                f64::INFINITY,
                "the loss of the adaptive wing is inf (that of the frozen wing is 0.500)",
            ),
            (
                Some(f64::INFINITY),
                f64::NAN,
                "the loss of the frozen wing is inf, and that of the adaptive wing NaN",
            ),
            (Some(0.5), 2.0, "the loss is NaN"),
            (None, f64::NAN, "the loss is NaN"),
        ] {
            let report = StepReport {
                loss: f64::NAN,
                frozen_loss: frozen,
                adaptive_loss: adaptive,
                correct: 0,
                samples: 8,
                gradient_norm: f64::NAN,
                gradient_norms: Vec::new(),
                non_finite_parameter: None,
            };
            assert_eq!(report.non_finite().as_deref(), Some(words));
        }
        let finite = StepReport { loss: 1.0, ..StepReport::default() };
        assert_eq!(finite.non_finite(), None);
    }
}

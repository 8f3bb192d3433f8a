use serde::{Deserialize, Serialize};
use twins_attack::{AttackError, Pgd};

use super::adversary::AdversaryConfig;
use super::train_config::TrainConfig;
use crate::optimisers::Position;

/// A warm-up of the training adversary's epsilon, for starting weights that are not robust yet. The ratio of step size to
/// epsilon remains constant. Validation and test always use the full epsilon.
///
/// ```text
/// epsilon(t) = epsilon · clamp((t − clean_epochs) / rise_epochs, 0, 1)
/// ```
///
/// Where t is the number of epochs that have passed at the end of a step. Source: arXiv 2509.23325.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `clean_epochs` | 0 | epochs on clean images before the rise | ≥ 0 |
/// | `rise_epochs` | required | epochs over which epsilon rises linearly | > 0 |
///
/// ```
/// use twins_train::EpsilonSchedule;
///
/// let schedule = EpsilonSchedule::new(4.0).with_clean_epochs(1.0);
/// assert_eq!([0.5, 1.0, 2.0, 5.0, 9.0].map(|epochs| schedule.factor(epochs)), [0.0, 0.0, 0.25, 1.0, 1.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EpsilonSchedule {
    /// Epochs on clean images before the rise; a fraction is allowed.
    #[serde(default)]
    pub clean_epochs: f64,
    /// Epochs over which epsilon rises linearly; a fraction is allowed.
    pub rise_epochs: f64,
}

impl EpsilonSchedule {
    /// Creates a schedule in which epsilon rises from the first step on.
    pub fn new(rise_epochs: f64) -> Self {
        Self { clean_epochs: 0.0, rise_epochs }
    }

    /// Sets the epochs on clean images before the rise.
    #[must_use]
    pub fn with_clean_epochs(mut self, clean_epochs: f64) -> Self {
        self.clean_epochs = clean_epochs;
        self
    }

    /// The factor of epsilon after the given number of epochs.
    pub fn factor(&self, epochs: f64) -> f64 {
        ((epochs - self.clean_epochs) / self.rise_epochs).clamp(0.0, 1.0)
    }
}

impl TrainConfig {
    /// The adversary of a step; `None` while epsilon is 0.
    pub(crate) fn adversary_at(&self, position: Position) -> Result<Option<Pgd>, AttackError> {
        let Some(schedule) = self.epsilon_schedule else { return self.adversary.build().map(Some) };
        let epochs = position.epoch as f64 + (position.step + 1) as f64 / position.steps as f64;
        match schedule.factor(epochs) {
            0.0 => Ok(None),
            factor => {
                let AdversaryConfig { epsilon, step_size, .. } = self.adversary;
                let adversary = AdversaryConfig {
                    epsilon: factor * epsilon,
                    step_size: factor * step_size,
                    ..self.adversary.clone()
                };
                adversary.build().map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adversary_grows_with_the_steps() {
        let config = TrainConfig {
            epsilon_schedule: Some(EpsilonSchedule::new(2.0).with_clean_epochs(1.0)),
            ..TrainConfig::default()
        };
        let at = |epoch, step| {
            let position = Position { epoch, epochs: 9, step, steps: 4, plateaus: 0 };
            config.adversary_at(position).unwrap()
        };
        assert!(at(0, 3).is_none(), "the first epoch ends on clean images");
        let expected = |factor: f64| {
            let AdversaryConfig { epsilon, step_size, .. } = config.adversary;
            let scaled = AdversaryConfig {
                epsilon: factor * epsilon,
                step_size: factor * step_size,
                ..config.adversary.clone()
            };
            format!("{:?}", scaled.build().unwrap())
        };
        for (epoch, step, factor) in [(1, 0, 0.125), (1, 3, 0.5), (2, 3, 1.0), (8, 0, 1.0)] {
            assert_eq!(format!("{:?}", at(epoch, step).unwrap()), expected(factor), "{epoch}, {step}");
        }
    }
}

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// The learning-rate schedule.
///
/// Where e is the epoch from 0, E is the number of epochs, and t is e plus the completed fraction of the epoch's steps:
/// ```text
/// constant         r(t) = 1
/// multi-step       r(t) = gamma^(number of milestones ≤ e)
/// cosine           r(t) = final + (1 − final) · (1 + cos(π · t / E)) / 2
/// robust-accuracy  r(t) = factor^(number of plateaus so far)
/// ```
/// The learning rate is the configured learning rate times r. A plateau consists of `patience` consecutive epochs
/// without a better robust accuracy on the validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// The configured learning rate throughout.
    Constant,
    /// Multiplied by `gamma` at each milestone, like PyTorch's `MultiStepLR`.
    MultiStep {
        /// Epochs, from 0, at whose start the learning rate is multiplied, in ascending order.
        milestones: Vec<usize>,
        /// The factor.
        gamma: f64,
    },
    /// Half a cosine from the configured learning rate to `final_fraction` of it, updated at every step.
    Cosine {
        /// The final learning rate as a fraction of the configured one; 0 if a file does not give it.
        #[serde(default)]
        final_fraction: f64,
    },
    /// Multiplied by `factor` at every plateau of the validation robust accuracy.
    RobustAccuracy {
        /// The factor, such as 0.5 to halve the learning rate.
        factor: f64,
        /// Number of epochs without a better robust accuracy after which the learning rate is reduced.
        patience: usize,
    },
}

impl Schedule {
    /// Creates the paper's schedule (60 epochs, × 0.1 after epochs 30 and 50), scaled to the given number of epochs.
    ///
    /// ```
    /// use twins_train::Schedule;
    ///
    /// assert_eq!(Schedule::paper(60), Schedule::MultiStep { milestones: vec![30, 50], gamma: 0.1 });
    /// ```
    ///
    /// If there are too few epochs for both milestones, milestones that coincide are merged, and a milestone at epoch 0
    /// is dropped.
    pub fn paper(epochs: usize) -> Self {
        // Five sixths, rounded down, of any number of epochs.
        let mut milestones = vec![epochs / 2, epochs - epochs.div_ceil(6)];
        milestones.dedup();
        milestones.retain(|milestone| *milestone > 0);
        Self::MultiStep { milestones, gamma: 0.1 }
    }

    /// Creates a simplified version of AutoLoRa's schedule, which halves the learning rate when the validation robust
    /// accuracy has not risen for four epochs. The authors' code checks every four epochs. It halves the learning rate
    /// if the accuracy has risen in fewer than three of them or has not reached a new maximum, and then returns to the
    /// best weights. This schedule does not return to earlier weights.
    pub fn auto_lora() -> Self {
        Self::RobustAccuracy { factor: 0.5, patience: 4 }
    }

    /// The factor of the learning rate at a position.
    pub fn factor(&self, position: Position) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::MultiStep { milestones, gamma } => {
                let passed = milestones.iter().filter(|milestone| **milestone <= position.epoch).count();
                gamma.powi(passed as i32)
            }
            Self::Cosine { final_fraction } => {
                let progress = (position.time() / position.epochs as f64).min(1.0);
                final_fraction
                    + (1.0 - final_fraction) * (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0
            }
            Self::RobustAccuracy { factor, .. } => factor.powi(position.plateaus as i32),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), TrainError> {
        match self {
            Self::Constant => Ok(()),
            Self::MultiStep { milestones, gamma } => {
                check_factor("schedule.gamma", *gamma)?;
                match milestones.is_sorted_by(|a, b| a < b) {
                    true => Ok(()),
                    false => Err(TrainError::Milestones { milestones: milestones.clone() }),
                }
            }
            Self::Cosine { final_fraction } => match (0.0..=1.0).contains(final_fraction) {
                true => Ok(()),
                false => Err(TrainError::ScheduleFactor {
                    name: "schedule.final_fraction",
                    value: *final_fraction,
                }),
            },
            Self::RobustAccuracy { factor, patience } => {
                check_factor("schedule.factor", *factor)?;
                match patience {
                    0 => Err(TrainError::NoPatience { name: "schedule.patience" }),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn check_factor(name: &'static str, value: f64) -> Result<(), TrainError> {
    match value > 0.0 && value <= 1.0 {
        true => Ok(()),
        false => Err(TrainError::ScheduleFactor { name, value }),
    }
}

/// The position of a step in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The number of epochs.
    pub epochs: usize,
    /// The step within the epoch, from 0.
    pub step: usize,
    /// The number of steps in an epoch.
    pub steps: usize,
    /// The number of plateaus of the validation robust accuracy so far.
    pub plateaus: usize,
}

impl Position {
    /// The number of completed epochs, including the completed fraction of the current epoch.
    pub fn time(self) -> f64 {
        self.epoch as f64 + self.step as f64 / self.steps.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: usize, step: usize) -> Position {
        Position { epoch, epochs: 60, step, steps: 10, plateaus: 2 }
    }

    #[test]
    fn the_papers_schedule_fits_short_trainings() {
        for epochs in 1..=60 {
            Schedule::paper(epochs).validate().unwrap();
        }
        assert_eq!(Schedule::paper(1), Schedule::MultiStep { milestones: vec![], gamma: 0.1 });
    }

    #[test]
    fn paper_schedule() {
        let schedule = Schedule::paper(60);
        let factors: Vec<f64> =
            [0, 29, 30, 49, 50, 59].iter().map(|epoch| schedule.factor(at(*epoch, 9))).collect();
        // Powers of 0.1 in f64.
        for (factor, expected) in factors.iter().zip([1.0, 1.0, 0.1, 0.1, 0.01, 0.01]) {
            assert!((factor - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn the_paper_s_milestones_of_any_number_of_epochs() {
        for (epochs, expected) in [(1, vec![]), (2, vec![1]), (7, vec![3, 5]), (60, vec![30, 50])] {
            assert_eq!(Schedule::paper(epochs), Schedule::MultiStep { milestones: expected, gamma: 0.1 });
        }
        Schedule::paper(usize::MAX).validate().unwrap();
    }

    #[test]
    fn cosine_by_hand() {
        let schedule = Schedule::Cosine { final_fraction: 0.2 };
        assert_eq!(schedule.factor(at(0, 0)), 1.0);
        // Half way: 0.2 + 0.8 / 2. cos(π/2) is 6e-17 in f64.
        assert!((schedule.factor(at(30, 0)) - 0.6).abs() < 1e-15);
        // 20.0 of 60 epochs: cos(π/3) = 1/2, 0.2 + 0.8 · 0.75.
        assert!((schedule.factor(at(20, 0)) - 0.8).abs() < 1e-15);
        assert!(schedule.factor(at(20, 5)) < 0.8);
    }

    #[test]
    fn plateaus_halve() {
        assert_eq!(Schedule::RobustAccuracy { factor: 0.5, patience: 3 }.factor(at(7, 0)), 0.25);
    }

    #[test]
    fn bad_values_are_named() {
        for (schedule, part) in [
            (Schedule::MultiStep { milestones: vec![30, 30], gamma: 0.1 }, "[30, 30]"),
            (Schedule::MultiStep { milestones: vec![], gamma: 0.0 }, "schedule.gamma is 0"),
            (Schedule::Cosine { final_fraction: f64::NAN }, "schedule.final_fraction is NaN"),
            (Schedule::RobustAccuracy { factor: 1.5, patience: 1 }, "schedule.factor is 1.5"),
            (Schedule::RobustAccuracy { factor: 0.5, patience: 0 }, "schedule.patience is 0"),
        ] {
            let message = schedule.validate().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}

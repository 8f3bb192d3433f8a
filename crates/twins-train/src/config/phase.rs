use super::method::Method;
use super::train_config::TrainConfig;
use super::tuning::Tuning;
use crate::optimisers::{Position, Schedule};

/// The phase of training that an epoch belongs to: the probe of [`Tuning::ProbeThenFull`], the full phase after the
/// probe, or the whole training. The schedule and the warm-up of a phase count from its first epoch.
pub(crate) struct Phase<'a> {
    /// Whether the phase is the probe before a full phase.
    pub(crate) is_probe: bool,
    /// The first epoch of the phase.
    pub(crate) start: usize,
    epochs: usize,
    learning_rate: f64,
    warmup_epochs: f64,
    pub(crate) schedule: &'a Schedule,
}

impl TrainConfig {
    /// The number of epochs that the schedule and the warm-up cover: those after a probe, or all of them.
    pub fn full_epochs(&self) -> usize {
        match &self.tuning {
            Tuning::ProbeThenFull(probe) => self.epochs.saturating_sub(probe.epochs),
            Tuning::Full | Tuning::LinearProbe => self.epochs,
        }
    }

    /// The schedule of a configuration file that gives none: [`Schedule::auto_lora`] for that method, and [`Schedule::paper`] of the
    /// [full epochs](Self::full_epochs) for the others.
    pub fn usual_schedule(&self) -> Schedule {
        match self.method {
            Method::AutoLora => Schedule::auto_lora(),
            _ => Schedule::paper(self.full_epochs()),
        }
    }

    /// The phase of an epoch; `epoch` counts from 0.
    pub(crate) fn phase(&self, epoch: usize) -> Phase<'_> {
        let start = match &self.tuning {
            Tuning::ProbeThenFull(probe) if epoch < probe.epochs => {
                return Phase {
                    is_probe: true,
                    start: 0,
                    epochs: probe.epochs,
                    learning_rate: probe.learning_rate.unwrap_or(self.learning_rate),
                    warmup_epochs: 0.0,
                    schedule: &probe.schedule,
                };
            }
            Tuning::ProbeThenFull(probe) => probe.epochs,
            Tuning::Full | Tuning::LinearProbe => 0,
        };
        Phase {
            is_probe: false,
            start,
            epochs: self.epochs.saturating_sub(start),
            learning_rate: self.learning_rate,
            warmup_epochs: self.warmup_epochs,
            schedule: &self.schedule,
        }
    }
}

impl Phase<'_> {
    /// The learning rate of a step. `position` counts epochs from the beginning of training.
    pub(crate) fn learning_rate(&self, position: Position) -> f64 {
        let position = Position { epoch: position.epoch - self.start, epochs: self.epochs, ..position };
        let warm_steps = self.warmup_epochs * position.steps as f64;
        let done = (position.epoch * position.steps + position.step + 1) as f64;
        let warm = if done < warm_steps { done / warm_steps } else { 1.0 };
        self.learning_rate * warm * self.schedule.factor(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProbeConfig;

    #[test]
    fn each_phase_counts_from_its_own_beginning() {
        let multi_step = |milestone| Schedule::MultiStep { milestones: vec![milestone], gamma: 0.5 };
        let probe = ProbeConfig::new(3).with_learning_rate(8.0).with_schedule(multi_step(2));
        let config = TrainConfig {
            epochs: 7,
            learning_rate: 1.0,
            warmup_epochs: 2.0,
            schedule: multi_step(3),
            tuning: Tuning::ProbeThenFull(probe),
            ..TrainConfig::default()
        };
        // The rate of each epoch's last of two steps.
        let rate = |epoch| {
            let position = Position { epoch, epochs: 7, step: 1, steps: 2, plateaus: 0 };
            config.phase(epoch).learning_rate(position)
        };
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(rate), [8.0, 8.0, 4.0, 0.5, 1.0, 1.0, 0.5]);
    }

    #[test]
    fn a_cosine_spans_its_phase() {
        let cosine = Schedule::Cosine { final_fraction: 0.0 };
        let config = TrainConfig {
            epochs: 6,
            learning_rate: 1.0,
            schedule: cosine.clone(),
            tuning: Tuning::ProbeThenFull(ProbeConfig::new(2).with_schedule(cosine)),
            ..TrainConfig::default()
        };
        let rate = |epoch| {
            let position = Position { epoch, epochs: 6, step: 0, steps: 1, plateaus: 0 };
            config.phase(epoch).learning_rate(position)
        };
        // Half way through each phase, cos(π/2) is 6e-17 in f64.
        for (epoch, expected) in [(0, 1.0), (1, 0.5), (2, 1.0), (4, 0.5)] {
            assert!((rate(epoch) - expected).abs() < 1e-15, "epoch {epoch}: {}", rate(epoch));
        }
    }
}

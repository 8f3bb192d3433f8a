use crate::engine::attack::Attack;
use crate::engine::goal::{Goal, RunSelection};
use crate::engine::search::{Search, Subject};
use crate::error::AttackError;
use crate::norms::threat_model::ThreatModel;

/// An attack made several times with other random draws: the worst case over the restarts on each sample.
///
/// A sample that is fooled is not attacked again, unless the attack returns the point of largest loss
/// ([`RunSelection::Strongest`]): then all restarts are made, and the strongest point is returned.
///
/// ```
/// use twins_attack::{Attack, Norm, PgdConfig, Restarts, Start, ThreatModel};
/// let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0)?;
/// let pgd = PgdConfig::new(threat, 20, 2.0 / 255.0).with_start(Start::Uniform).build()?;
/// assert_eq!(Restarts::new(pgd, 5)?.runs(10), 5);
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Restarts<A> {
    attack: A,
    restarts: usize,
}

impl<A: Attack> Restarts<A> {
    /// Makes the attack `restarts` times.
    ///
    /// # Errors
    /// [`AttackError::ZeroSteps`] if `restarts` is 0.
    pub fn new(attack: A, restarts: usize) -> Result<Self, AttackError> {
        if restarts == 0 {
            return Err(AttackError::ZeroSteps { attack: "an attack", what: "restarts" });
        }
        Ok(Self { attack, restarts })
    }
}

impl<A: Attack> Attack for Restarts<A> {
    fn name(&self) -> String {
        self.attack.name()
    }

    fn threat_model(&self) -> ThreatModel {
        self.attack.threat_model()
    }

    fn runs(&self, classes: usize) -> usize {
        self.restarts * self.attack.runs(classes)
    }

    fn run_selection(&self) -> RunSelection {
        self.attack.run_selection()
    }

    fn goal(&self) -> Goal {
        self.attack.goal()
    }

    fn repeats(&self) -> usize {
        self.attack.repeats()
    }

    fn uses_gradients(&self) -> bool {
        self.attack.uses_gradients()
    }

    fn budget(&self, classes: usize) -> u64 {
        self.restarts as u64 * self.attack.budget(classes)
    }

    fn search<'a>(&'a self, subject: &Subject<'a>, run: usize) -> Result<Box<dyn Search + 'a>, AttackError> {
        self.attack.search(subject, run)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::attacks::apgd::ApgdConfig;
    use crate::attacks::pgd::{PgdConfig, Start};
    use crate::engine::goal::Returned;
    use crate::engine::targets::Targets;
    use crate::losses::loss::Loss;
    use crate::norms::norm::Norm;
    use crate::samples::samples::Samples;

    fn victim(images: Tensor<4>) -> Tensor<2> {
        images.flatten::<2>(1, 3)
    }

    fn samples() -> Samples {
        // Two that the attacks below fool, two that they cannot.
        let images = [[[[0.5, 0.45, 0.1]]], [[[0.5, 0.3, 0.2]]], [[[0.5, 0.48, 0.4]]], [[[0.9, 0.1, 0.3]]]];
        Samples::new(Tensor::from_floats(images, &Device::flex()), vec![0; 4]).unwrap()
    }

    /// The points, and their margins `max_{i≠0} z_i - z_0`, which a larger loss makes larger.
    fn points(attack: &dyn Attack) -> Vec<(Vec<f32>, f32)> {
        let points = attack.run(&victim, &samples()).unwrap().adversarial.try_into_vec_as::<f32>().unwrap();
        points.chunks(3).map(|z| (z.to_vec(), z[1].max(z[2]) - z[0])).collect()
    }

    #[test]
    fn the_strongest_restart_is_returned() {
        let threat = ThreatModel::new(Norm::Linf, 0.1).unwrap();
        // Without steps of any length a run is its random start.
        let config = PgdConfig::new(threat, 1, 0.0).with_start(Start::Uniform).with_loss(Loss::Margin);
        for returned in [Returned::BestLoss, Returned::Last, Returned::FirstFooled] {
            let pgd = config.clone().with_returned(returned).build().unwrap();
            let restarts = |count| points(&Restarts::new(pgd.clone(), count).unwrap());
            let mut strongest = restarts(1);
            let mut changes = [0; 4];
            for count in 2..=20 {
                for ((now, before), changes) in
                    restarts(count).into_iter().zip(&mut strongest).zip(&mut changes)
                {
                    assert!(now.1 >= before.1, "{returned:?}, {count} restarts: {now:?}, before {before:?}");
                    *changes += usize::from(now != *before);
                    *before = now;
                }
            }
            // An image that no start fools gets stronger points; one that is fooled does only if all starts are made.
            assert!(changes[1] > 0 && changes[3] > 0, "{returned:?}: {changes:?}");
            assert_eq!(changes[2] > 1, returned == Returned::BestLoss, "{returned:?}: {changes:?}");
        }
    }

    #[test]
    fn of_several_targets_the_strongest_is_returned() {
        let threat = ThreatModel::new(Norm::Linf, 0.02).unwrap();
        let apgd = |targets| {
            let config = ApgdConfig::new(threat).with_steps(5).with_loss(Loss::Margin).with_targets(targets);
            config.with_returned(Returned::BestLoss).build().unwrap()
        };
        let (all, runner_up) = (points(&apgd(Targets::Top(2))), points(&apgd(Targets::Rank(2))));
        let last = points(&apgd(Targets::Rank(3)));
        for ((all, runner_up), last) in all.iter().zip(&runner_up).zip(&last) {
            assert!(runner_up.1 > last.1, "{runner_up:?} {last:?}");
            assert!((all.1 - runner_up.1).abs() < 1e-6, "{all:?} {runner_up:?}");
        }
    }
}

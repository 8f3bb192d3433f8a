use crate::engine::attack::Attack;
use crate::engine::goal::{Goal, RunSelection};
use crate::engine::search::{Finding, Need, Search, Step, Subject};
use crate::error::AttackError;
use crate::losses::loss::{Aim, Loss};
use crate::norms::threat_model::ThreatModel;

/// Several attacks, one after the other on each sample: the worst case over all of them.
///
/// A sample that one attack fools is not attacked by the next, unless the attacks ask for the strongest
/// point of all runs ([`RunSelection::Strongest`]). Points are compared by
/// the margin loss ([`Loss::Margin`]), whatever loss each attack maximises. [`AutoAttack`](crate::AutoAttack) is such a sequence with
/// a report for each attack; this one is an [`Attack`] itself, so that it can be repeated by
/// [`Restarts`](crate::Restarts) or be part of another.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{ApgdConfig, Attack, Norm, Samples, SquareConfig, ThreatModel, WorstCase};
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let samples = Samples::new(Tensor::from_floats([[[[0.6, 0.5]]]], &Device::flex()), vec![0])?;
/// let threat = ThreatModel::new(Norm::Linf, 0.1)?;
/// let (apgd, square) = (ApgdConfig::new(threat).build()?, SquareConfig::new(threat).build()?);
/// let both = WorstCase::new(vec![Box::new(apgd), Box::new(square)])?;
/// assert_eq!(both.name(), "apgd-ce+square");
/// assert_eq!(both.run(&victim, &samples)?.fooled, [true]);
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
pub struct WorstCase {
    attacks: Vec<Box<dyn Attack>>,
}

impl WorstCase {
    /// The attacks in the order in which they are made.
    ///
    /// # Errors
    /// [`AttackError::NoAttacks`]; [`AttackError::MixedAttacks`] if they do not share a threat model, a goal, the way to
    /// combine their runs and the number of repeated passes.
    pub fn new(attacks: Vec<Box<dyn Attack>>) -> Result<Self, AttackError> {
        let Some(first) = attacks.first() else { return Err(AttackError::NoAttacks) };
        for other in &attacks {
            let differing = if other.threat_model() != first.threat_model() {
                "threat models"
            } else if other.goal() != first.goal() {
                "goals"
            } else if other.run_selection() != first.run_selection() {
                "ways to combine their runs"
            } else if other.repeats() != first.repeats() {
                "numbers of EOT repetitions"
            } else {
                continue;
            };
            return Err(AttackError::MixedAttacks { first: first.name(), other: other.name(), differing });
        }
        Ok(Self { attacks })
    }
}

impl Attack for WorstCase {
    fn name(&self) -> String {
        self.attacks.iter().map(|attack| attack.name()).collect::<Vec<_>>().join("+")
    }

    fn threat_model(&self) -> ThreatModel {
        self.attacks[0].threat_model()
    }

    fn runs(&self, classes: usize) -> usize {
        self.attacks.iter().map(|attack| attack.runs(classes)).sum()
    }

    fn run_selection(&self) -> RunSelection {
        self.attacks[0].run_selection()
    }

    fn goal(&self) -> Goal {
        self.attacks[0].goal()
    }

    fn repeats(&self) -> usize {
        self.attacks[0].repeats()
    }

    fn uses_gradients(&self) -> bool {
        self.attacks.iter().any(|attack| attack.uses_gradients())
    }

    fn budget(&self, classes: usize) -> u64 {
        self.attacks.iter().map(|attack| attack.budget(classes)).sum()
    }

    fn search<'a>(&'a self, subject: &Subject<'a>, run: usize) -> Result<Box<dyn Search + 'a>, AttackError> {
        let classes = subject.clean.len();
        let (restart, mut place) = (run / self.runs(classes), run % self.runs(classes));
        for attack in &self.attacks {
            let runs = attack.runs(classes);
            if place < runs {
                let search = attack.search(subject, restart * runs + place)?;
                let aim =
                    Aim { label: subject.label, target: self.goal().target(subject)?, clean: subject.clean };
                return Ok(Box::new(ByMargin { search, aim }));
            }
            place -= runs;
        }
        unreachable!("a run's place is below the number of runs")
    }
}

/// The search of one of the attacks, with a loss that is comparable to the others'.
struct ByMargin<'a> {
    search: Box<dyn Search + 'a>,
    aim: Aim<'a>,
}

impl Search for ByMargin<'_> {
    fn point(&self) -> &[f32] {
        self.search.point()
    }

    fn need(&self) -> Need {
        self.search.need()
    }

    fn cotangent(&mut self, logits: &[f32], cotangent: &mut [f32]) {
        self.search.cotangent(logits, cotangent);
    }

    fn answer(&mut self, logits: &[f32], gradient: &[f32]) -> Step {
        self.search.answer(logits, gradient)
    }

    fn finish(self: Box<Self>) -> Finding {
        let finding = self.search.finish();
        let loss = Loss::Margin.evaluate(&finding.logits, self.aim, &mut vec![0.0; finding.logits.len()]);
        Finding { loss, ..finding }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::attacks::apgd::ApgdConfig;
    use crate::attacks::pgd::{PgdConfig, Start};
    use crate::attacks::restarts::Restarts;
    use crate::attacks::square::SquareConfig;
    use crate::norms::norm::Norm;
    use crate::samples::samples::Samples;

    fn threat(epsilon: f32) -> ThreatModel {
        ThreatModel::new(Norm::Linf, epsilon).unwrap()
    }

    fn random_pgd(seed: u64) -> PgdConfig {
        PgdConfig::new(threat(0.3), 1, 0.05).with_start(Start::Uniform).with_seed(seed)
    }

    #[test]
    fn a_sample_is_fooled_if_one_attack_fools_it() {
        let victim = |x: Tensor<4>| x.flatten::<2>(1, 3);
        let images: Vec<f32> = (0..40).flat_map(|i| [0.5, 0.5 - 0.01 * i as f32]).collect();
        let images = Tensor::<1>::from_floats(&images[..], &Device::flex()).reshape([40, 1, 1, 2]);
        let samples = Samples::new(images, vec![0; 40]).unwrap();
        let run = |attack: &dyn Attack| attack.run(&victim, &samples).unwrap().fooled;
        let one = |seed| run(&random_pgd(seed).build().unwrap());
        let pgd = |seed| -> Box<dyn Attack> { Box::new(random_pgd(seed).build().unwrap()) };
        let both = WorstCase::new(vec![pgd(1), pgd(2)]).unwrap();
        let either: Vec<bool> = one(1).iter().zip(one(2)).map(|(a, b)| a | b).collect();
        assert!(either != one(1) && either != one(2));
        assert_eq!(run(&both), either);
        // Each attack draws anew in the second restart.
        let twice = |seed| run(&Restarts::new(random_pgd(seed).build().unwrap(), 2).unwrap());
        let all: Vec<bool> = twice(1).iter().zip(twice(2)).map(|(a, b)| a | b).collect();
        assert!(all != either);
        assert_eq!(run(&Restarts::new(both, 2).unwrap()), all);
    }

    #[test]
    fn what_does_not_belong_together_is_named() {
        let apgd = |config: ApgdConfig| -> Box<dyn Attack> { Box::new(config.build().unwrap()) };
        let message = |attacks| WorstCase::new(attacks).err().unwrap().to_string();
        assert!(message(vec![]).contains("empty"));
        let square = SquareConfig::new(threat(0.2)).build().unwrap();
        let text = message(vec![apgd(ApgdConfig::new(threat(0.1))), Box::new(square)]);
        assert!(text.contains("apgd-ce and square") && text.contains("threat models"), "{text}");
        let averaged = ApgdConfig::new(threat(0.1)).with_eot(20);
        let text = message(vec![apgd(ApgdConfig::new(threat(0.1))), apgd(averaged)]);
        assert!(text.contains("EOT"), "{text}");
    }
}

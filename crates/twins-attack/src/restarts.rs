use crate::{Attack, AttackError, Search, Subject, ThreatModel};

/// An attack made several times with other random draws: the worst case over the restarts on each sample.
///
/// A sample that is fooled is not attacked again.
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

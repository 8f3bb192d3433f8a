use std::path::PathBuf;

use super::attack_list::AttackList;
use super::autoattack::config::AutoAttackConfig;
use super::coverage::Coverage;
use super::images::{Evaluation, Images};
use super::journal::place::{ExistingJournal, JournalPlace};
use super::journal::read::Journal;
use super::progress::Observer;
use super::replica::Replica;
use super::report::Report;
use super::run::run;
use crate::engine::attack::{Attack, check_counts};
use crate::engine::verification::VerificationRule;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::model::classifier::Classifier;
use crate::samples::in_memory::Samples;
use crate::samples::source::SampleStream;

/// Measures the robust accuracy of a model: the worst case over a list of attacks on each sample.
///
/// The attacks run one after the other, each in a *stage*. A success that an attack claims counts only after it has
/// been verified: the image lies in the box and in the ball, and a fresh forward pass misclassifies it
/// ([`VerificationRule`](crate::VerificationRule)). A sample whose claims are refuted goes to the next attack. Each
/// stage reports the number of refuted claims.
///
/// The attacks may have different threat models: several epsilons (a robustness curve) or several norms (their union).
/// An adversarial example breaks its sample under every threat model of the list that contains it. A sample that was
/// broken at a small epsilon is therefore not attacked at a larger one. The [`Report`] contains the robust accuracy
/// under each threat model, and under all of them together ([`Report::robust`]).
///
/// | option | default | purpose |
/// |---|---|---|
/// | [`with_coverage`](Self::with_coverage) | survivors | which samples each attack attacks |
/// | [`with_fresh_draws`](Self::with_fresh_draws) | 1 | number of forward passes that decide whether a claim counts |
/// | [`with_journal`](Self::with_journal) | none | a file from which an interrupted evaluation is resumed |
///
/// Results do not depend on the batch size, the order of the samples or the number of replicas, because random draws
/// belong to the sample. If a list contains several attacks with the same name and threat model, each of them has its
/// own draws.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{Attack, Norm, PgdConfig, RobustnessEvaluation, Samples, Silent, ThreatModel};
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let images = [[[[0.6, 0.5, 0.1]]], [[[0.7, 0.4, 0.1]]], [[[0.9, 0.1, 0.1]]]];
/// let samples = Samples::new(Tensor::from_floats(images, &Device::flex()), vec![0; 3])?;
///
/// // PGD at three epsilons.
/// let mut attacks: Vec<Box<dyn Attack>> = Vec::new();
/// for epsilon in [0.1, 0.2, 0.3] {
///     let threat = ThreatModel::new(Norm::Linf, epsilon)?;
///     attacks.push(Box::new(PgdConfig::new(threat, 10, epsilon / 4.0).build()?));
/// }
/// let evaluation = RobustnessEvaluation::new(attacks)?.evaluate(&victim, &samples, &mut Silent)?;
/// let report = evaluation.report;
/// let robust: Vec<usize> = report.threats.iter().map(|threat| threat.robust.correct).collect();
/// assert_eq!(robust, [2, 1, 1]);
/// assert_eq!(report.samples[0].broken_by.as_deref(), Some("pgd-10 (Linf 0.1)"));
/// println!("{report}");
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug)]
pub struct RobustnessEvaluation {
    pub(super) attacks: AttackList,
    pub(super) coverage: Coverage,
    pub(super) rule: VerificationRule,
    pub(super) journal: Option<JournalPlace>,
}

impl RobustnessEvaluation {
    /// Creates an evaluation with these attacks, in this order.
    ///
    /// # Errors
    /// [`SettingError::NoAttacks`]; [`SettingError::ZeroEpsilon`] if a threat model allows no perturbation;
    /// [`SettingError::ZeroCount`] if a custom attack has no targets, restarts or passes.
    pub fn new(attacks: Vec<Box<dyn Attack>>) -> Result<Self, AttackError> {
        if attacks.is_empty() {
            return Err(SettingError::NoAttacks.into());
        }
        if attacks.iter().any(|attack| attack.threat_model().epsilon() == 0.0) {
            return Err(SettingError::ZeroEpsilon.into());
        }
        attacks.iter().try_for_each(|attack| check_counts(&**attack))?;
        Ok(Self::of(AttackList::Given(attacks.into()), VerificationRule::default()))
    }

    /// Creates an evaluation with AutoAttack (Croce & Hein 2020, arXiv 2003.01690; in L1 arXiv 2103.01208), a published
    /// list of attacks without parameters to tune.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use twins_attack::{AutoAttackConfig, Norm, RobustnessEvaluation, Samples, Silent, ThreatModel, Version};
    /// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
    /// let images = Tensor::from_floats([[[[0.6, 0.5, 0.1]]], [[[0.9, 0.1, 0.1]]]], &Device::flex());
    /// let samples = Samples::new(images, vec![0, 0])?;
    /// let threat = ThreatModel::new(Norm::Linf, 0.1)?;
    /// let config = AutoAttackConfig::new(threat, Version::Standard).with_queries(10);
    /// let autoattack = RobustnessEvaluation::autoattack(config)?;
    /// let evaluation = autoattack.evaluate(&victim, &samples, &mut Silent)?;
    /// assert_eq!(evaluation.report.robust.correct, 1);
    /// assert_eq!(evaluation.report.samples[0].broken_by.as_deref(), Some("apgd-ce"));
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`new`](Self::new); [`SettingError::ZeroSteps`]; [`SettingError::DuplicateThreat`].
    pub fn autoattack(config: AutoAttackConfig) -> Result<Self, AttackError> {
        config.check()?;
        let rule = VerificationRule::majority_of(config.fresh_draws);
        Ok(Self::of(AttackList::AutoAttack(config), rule))
    }

    /// Creates an evaluation without attacks, which measures clean accuracy alone.
    pub fn clean() -> Self {
        Self::of(AttackList::Given([].into()), VerificationRule::default())
    }

    fn of(attacks: AttackList, rule: VerificationRule) -> Self {
        Self { attacks, coverage: Coverage::default(), rule, journal: None }
    }

    /// Sets which samples each attack attacks.
    pub fn with_coverage(mut self, coverage: Coverage) -> Self {
        self.coverage = coverage;
        self
    }

    /// Sets the number of forward passes that decide whether a claimed adversarial example counts. It counts if more
    /// than half of them misclassify it.
    ///
    /// # Errors
    /// [`SettingError::ZeroSteps`] if the number is 0.
    pub fn with_fresh_draws(mut self, fresh_draws: usize) -> Result<Self, AttackError> {
        if fresh_draws == 0 {
            return Err(SettingError::ZeroSteps { attack: "the verification", what: "fresh draws" }.into());
        }
        self.rule = VerificationRule::majority_of(fresh_draws);
        if let AttackList::AutoAttack(config) = &mut self.attacks {
            config.fresh_draws = fresh_draws;
        }
        Ok(self)
    }

    /// Keeps a [`Journal`] in this file, so that the evaluation can be resumed after its process has been killed.
    ///
    /// `tag` distinguishes the model from other models, for example by a hash of the weights. A journal with a
    /// different tag is refused, and so is a journal of other attacks, options or samples, or of a deterministic model
    /// with other clean logits. Remove the journal ([`Journal::remove`]) once the report is saved.
    ///
    /// With a deterministic model, a resumed evaluation produces the same report as an uninterrupted one, except for
    /// the times. A randomised model draws new random numbers. At most the samples under attack are attacked again: for
    /// each batch in flight, one batch of samples and one batch of claims that are waiting to be verified.
    pub fn with_journal(
        mut self,
        path: impl Into<PathBuf>,
        tag: impl Into<String>,
        existing: ExistingJournal,
    ) -> Self {
        self.journal = Some(JournalPlace { path: path.into(), tag: tag.into(), existing });
        self
    }

    /// Evaluates a model on samples in memory.
    ///
    /// # Errors
    /// The errors of [`Attack::run`](crate::Attack::run); [`AttackError::Journal`]; [`AttackError::OtherEvaluation`],
    /// [`AttackError::OtherModel`] or [`AttackError::DamagedJournal`] if the journal does not fit;
    /// [`AttackError::Stopped`] if the observer stops the evaluation.
    pub fn evaluate(
        &self,
        victim: &(dyn Classifier + Sync),
        samples: &Samples,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation, AttackError> {
        self.evaluate_on(&[Replica::new(victim, samples.device().clone())], samples, observer)
    }

    /// Evaluates a model on samples in memory with several replicas, which are on separate devices or are CPU shards.
    ///
    /// The samples of each stage go to whichever replica has room, so no replica waits for another before the end of
    /// the stage. Draws belong to the sample, so only the rounding of the devices can change a verdict. On equal
    /// devices, the stages and records are those of [`evaluate`](Self::evaluate), provided that the model's logits for
    /// an image do not depend on the rest of the batch. A journal is independent of the replicas: any number of them
    /// can resume it. The clean pass and the checks run on the first replica. Replicas of a randomised model are not
    /// compared with each other, and the assignment of samples to replicas differs from run to run.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use twins_attack::{AutoAttackConfig, Norm, Replica, RobustnessEvaluation, Samples, Silent, ThreatModel, Version};
    /// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
    /// let images = Tensor::from_floats([[[[0.6, 0.5, 0.1]]], [[[0.9, 0.1, 0.1]]]], &Device::flex());
    /// let samples = Samples::new(images, vec![0, 0])?;
    /// let config = AutoAttackConfig::new(ThreatModel::new(Norm::Linf, 0.1)?, Version::Standard).with_queries(10);
    /// let replicas = [Replica::new(&victim, Device::flex()), Replica::new(&victim, Device::flex())];
    /// let autoattack = RobustnessEvaluation::autoattack(config)?;
    /// let evaluation = autoattack.evaluate_on(&replicas, &samples, &mut Silent)?;
    /// assert_eq!(evaluation.report.robust.correct, 1);
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`evaluate`](Self::evaluate); [`AttackError::NoReplica`]; [`AttackError::OtherReplica`] if the
    /// logits of a replica for the first sample differ.
    pub fn evaluate_on(
        &self,
        replicas: &[Replica<'_>],
        samples: &Samples,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation, AttackError> {
        let earlier = self.earlier()?;
        let mut images = Images::new(samples, observer);
        if let Some(journal) = &earlier {
            images.load(journal)?;
        }
        let report = run(self, replicas, &samples.stream(), earlier.as_ref(), &mut images)?;
        Ok(Evaluation { report, adversarial: samples.upload(images.pixels) })
    }

    /// Evaluates a model on images that are read when they are needed. Memory does not grow with the number of images,
    /// except for the clean logits and a few scalars per sample. The adversarial examples are passed to the observer
    /// one by one ([`Outcome::adversarial`](crate::Outcome::adversarial)), and to the journal.
    ///
    /// See [`SampleStream`] for an example.
    ///
    /// # Errors
    /// The errors of [`evaluate_on`](Self::evaluate_on); [`AttackError::Source`] and the errors of an invalid image.
    pub fn evaluate_stream(
        &self,
        replicas: &[Replica<'_>],
        samples: &SampleStream<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Report, AttackError> {
        run(self, replicas, samples, self.earlier()?.as_ref(), observer)
    }

    /// Reads the journal that is to be resumed, if there is one.
    fn earlier(&self) -> Result<Option<Journal>, AttackError> {
        Ok(self.journal.as_ref().map_or(Ok(None), JournalPlace::earlier)?)
    }
}

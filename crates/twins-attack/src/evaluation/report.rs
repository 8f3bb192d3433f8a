use serde::{Deserialize, Serialize};

use super::autoattack::config::AutoAttackConfig;
use super::classes::ClassReport;
use super::coverage::Coverage;
use super::interval::wilson_interval;
use super::robustness::RobustnessEvaluation;
use super::sample_record::{Distance, SampleRecord};
use super::stages::Stage;
use super::threats::Threats;
use super::verdicts::Verdicts;
use super::warning::Warning;
use crate::engine::task::Cost;
use crate::engine::verification::{Verification, VerificationRule};
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;
use crate::samples::source::SampleStream;

/// How many samples were classified correctly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Correct ones.
    pub correct: usize,
    /// All.
    pub total: usize,
}

impl Count {
    /// The fraction in [0, 1].
    pub fn fraction(self) -> f64 {
        self.correct as f64 / self.total as f64
    }
}

/// One attack of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// Name of the stage: that of the attack, with its threat model if the evaluation has several, and a number if it is not
    /// the first of its name, such as `pgd-20 (Linf 8/255) #2`.
    pub attack: String,
    /// The threat model of the attack.
    pub threat: ThreatModel,
    /// The settings of the attack, as its `Debug` writes them.
    pub settings: String,
    /// Samples that it attacked.
    pub attacked: usize,
    /// Attacked samples on which it succeeded: by its criterion, which for a targeted attack is that the model predicts the
    /// target.
    pub success: usize,
    /// Attacked samples that it broke: the model misclassifies an image that it found. A targeted attack may break a sample
    /// without success, where it ends in another wrong class.
    pub broken: usize,
    /// Samples that are still correct under this stage's threat model after it.
    pub robust: usize,
    /// Samples that are correct under this attack by itself; known only with
    /// [`Coverage::EveryAttack`](crate::Coverage::EveryAttack).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_robust: Option<usize>,
    /// Time it took.
    pub seconds: f64,
    /// Images run through the model.
    pub forwards: u64,
    /// For how many of them a gradient was computed.
    pub backwards: u64,
    /// What came of checking the adversarial examples that the attack claimed.
    pub verification: Verification,
}

impl StageReport {
    pub(super) fn new(stage: &Stage<'_>, threat: ThreatModel, attacked: usize) -> Self {
        Self {
            attack: stage.name.clone(),
            threat,
            settings: format!("{:?}", stage.attack),
            attacked,
            success: 0,
            broken: 0,
            robust: 0,
            own_robust: None,
            seconds: 0.0,
            forwards: 0,
            backwards: 0,
            verification: Verification::default(),
        }
    }

    /// Counts, once the stage has ended.
    pub(super) fn finish(&mut self, verdicts: &Verdicts<'_>, coverage: Coverage, threat: usize) {
        self.robust = verdicts.robust(threat);
        if coverage == Coverage::EveryAttack {
            self.own_robust = Some(self.attacked - self.broken);
        }
    }

    /// The fraction of the attacked samples on which the attack succeeded, in [0, 1]; none if it attacked no sample.
    pub fn success_rate(&self) -> Option<f64> {
        (self.attacked > 0).then(|| self.success as f64 / self.attacked as f64)
    }
}

/// Robust accuracy under one threat model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ThreatReport {
    /// The threat model.
    pub threat: ThreatModel,
    /// Samples that are correct on the clean image and on every image in the threat model that an attack found, also an
    /// attack of another threat model.
    pub robust: Count,
    /// 95 % confidence interval of the robust accuracy (Wilson 1927), in [0, 1].
    pub interval: [f64; 2],
}

/// The result of an evaluation, ready to be saved; its `Display` is a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Clean accuracy.
    pub clean: Count,
    /// The attacks in their order.
    pub stages: Vec<StageReport>,
    /// Robust accuracy under all threat models together: samples that are correct on the clean image and after every attack.
    pub robust: Count,
    /// 95 % confidence interval of the robust accuracy (Wilson 1927), in [0, 1].
    pub interval: [f64; 2],
    /// Robust accuracy under each threat model of the attacks.
    pub threats: Vec<ThreatReport>,
    /// Clean and robust accuracy of each class that has samples.
    pub classes: Vec<ClassReport>,
    /// On which samples each attack was made.
    pub coverage: Coverage,
    /// The settings of AutoAttack, if it made the attacks. Those of any attack are in [`StageReport::settings`].
    pub config: Option<AutoAttackConfig>,
    /// When a claimed adversarial example counted.
    pub verification: VerificationRule,
    /// Reasons to read the results with care.
    pub warnings: Vec<Warning>,
    /// All images run through the model, with the clean pass and the checks.
    pub forwards: u64,
    /// For how many of them a gradient was computed.
    pub backwards: u64,
    /// The samples in their order.
    pub samples: Vec<SampleRecord>,
}

impl Report {
    pub(super) fn new(
        evaluation: &RobustnessEvaluation,
        samples: &SampleStream<'_>,
        verdicts: &Verdicts<'_>,
        threats: &Threats,
        stages: Vec<StageReport>,
        warnings: Vec<Warning>,
        total: Cost,
    ) -> Self {
        let count = |correct| Count { correct, total: verdicts.len() };
        let interval = |correct| wilson_interval(correct, verdicts.len());
        let by_threat = |(place, threat): (usize, &ThreatModel)| {
            let robust = verdicts.robust(place);
            ThreatReport { threat: *threat, robust: count(robust), interval: interval(robust) }
        };
        let record = |i: usize| {
            let (broken_by, distances) = match verdicts.first(i) {
                _ if !verdicts.is_correct(i) => {
                    (Some(("clean".to_owned(), 0)), vec![0.0; threats.norms().len()])
                }
                Some((stage, norm)) => {
                    (Some((stages[stage].attack.clone(), norm)), verdicts.nearest(i).to_vec())
                }
                None => (None, Vec::new()),
            };
            let (broken_by, norm) = broken_by.unzip();
            let with_norm = |(norm, distance): (&Norm, &f32)| Distance { norm: *norm, distance: *distance };
            SampleRecord {
                index: samples.source().id(i),
                label: samples.source().label(i),
                clean_prediction: verdicts.prediction(i),
                broken_by,
                // Without attacks there are no norms.
                distance: norm.map(|norm| distances.get(norm).copied().unwrap_or(0.0)),
                distances: threats.norms().iter().zip(&distances).map(with_norm).collect(),
            }
        };
        let samples: Vec<SampleRecord> = (0..verdicts.len()).map(record).collect();
        let robust = verdicts.robust_to_all();
        Self {
            clean: count(verdicts.correct()),
            robust: count(robust),
            interval: interval(robust),
            threats: threats.models().iter().enumerate().map(by_threat).collect(),
            classes: ClassReport::count(&samples),
            coverage: evaluation.coverage,
            config: evaluation.attacks.autoattack().cloned(),
            verification: evaluation.rule,
            warnings,
            forwards: total.forwards,
            backwards: total.backwards,
            stages,
            samples,
        }
    }

    /// The fraction of all samples, in [0, 1], that are correct on the clean image and have no adversarial example in this
    /// threat model among those found; none if no attack of the evaluation has the threat model's norm.
    ///
    /// Minimum-norm attacks give a whole robustness curve in this way. Like every robust accuracy it is an upper bound, and a
    /// loose one above the largest epsilon that was attacked, and below the smallest one if the attacks do not look for the
    /// nearest image.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use twins_attack::{FabConfig, Depth, Norm, RobustnessEvaluation, Samples, Silent, ThreatModel};
    /// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
    /// let images = [[[[0.6, 0.5]]], [[[0.7, 0.4]]], [[[0.9, 0.1]]]];
    /// let samples = Samples::new(Tensor::from_floats(images, &Device::flex()), vec![0; 3])?;
    /// let linf = |epsilon| ThreatModel::new(Norm::Linf, epsilon);
    /// let fab = FabConfig::new(linf(0.5)?).with_depth(Depth::Nearest).build()?;
    /// let report =
    ///     RobustnessEvaluation::new(vec![Box::new(fab)])?.evaluate(&victim, &samples, &mut Silent)?.report;
    /// // The distances are 0.05, 0.15 and 0.4.
    /// let curve = [0.02, 0.1, 0.2, 0.5].map(|epsilon| report.robust_accuracy_at(linf(epsilon).unwrap()));
    /// assert_eq!(curve, [Some(1.0), Some(2.0 / 3.0), Some(1.0 / 3.0), Some(0.0)]);
    /// assert_eq!(report.robust_accuracy_at(ThreatModel::new(Norm::L2, 0.1)?), None);
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    pub fn robust_accuracy_at(&self, threat: ThreatModel) -> Option<f64> {
        self.threats.iter().find(|attacked| attacked.threat.norm() == threat.norm())?;
        let broken = |record: &&SampleRecord| {
            let mut found = record.distances.iter().filter(|found| found.norm == threat.norm());
            found.any(|found| threat.allows_distance(found.distance))
        };
        let broken = self.samples.iter().filter(broken).count();
        Some((self.samples.len() - broken) as f64 / self.samples.len() as f64)
    }
}

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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Count {
    /// Number of samples that were classified correctly.
    pub correct: usize,
    /// Number of all samples.
    pub total: usize,
}

impl Count {
    /// The fraction of correct samples, in [0, 1].
    pub fn fraction(self) -> f64 {
        self.correct as f64 / self.total as f64
    }
}

/// The results of one attack of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StageReport {
    /// Name of the stage: the name of the attack, followed by its threat model if the evaluation has several, and by a
    /// number if it is not the first stage of this name, such as `pgd-20 (Linf 8/255) #2`.
    pub attack: String,
    /// The threat model of the attack.
    pub threat: ThreatModel,
    /// The settings of the attack, as its `Debug` implementation writes them.
    pub settings: String,
    /// Number of samples that the attack was run on.
    pub attacked: usize,
    /// Number of attacked samples on which the attack met its criterion. For the criterion
    /// [`ClassifiedAsTarget`](crate::Criterion::ClassifiedAsTarget), the model must predict the target.
    pub success: usize,
    /// Number of attacked samples that the attack broke: it found an image that the model misclassifies. A targeted
    /// attack can break a sample without success if it ends in another wrong class.
    pub broken: usize,
    /// Number of samples that remain correct under this stage's threat model after the stage.
    pub robust: usize,
    /// Number of samples that remain correct under this attack alone. It is known only with
    /// [`Coverage::EveryAttack`](crate::Coverage::EveryAttack).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_robust: Option<usize>,
    /// Seconds that the stage took.
    pub seconds: f64,
    /// Number of images run through the model.
    pub forwards: u64,
    /// Number of images for which a gradient was computed.
    pub backwards: u64,
    /// The results of checking the adversarial examples that the attack claimed.
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

    /// Fills in the counts after the stage has ended.
    pub(super) fn finish(&mut self, verdicts: &Verdicts<'_>, coverage: Coverage, threat: usize) {
        self.robust = verdicts.robust(threat);
        if coverage == Coverage::EveryAttack {
            // A journal that was altered may have outcomes of samples that were not attacked.
            self.own_robust = Some(self.attacked.saturating_sub(self.broken));
        }
    }

    /// The fraction of the attacked samples on which the attack met its criterion, in [0, 1]; `None` if no sample was
    /// attacked.
    pub fn success_rate(&self) -> Option<f64> {
        (self.attacked > 0).then(|| self.success as f64 / self.attacked as f64)
    }
}

/// Robust accuracy under one threat model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ThreatReport {
    /// The threat model.
    pub threat: ThreatModel,
    /// Number of samples that are correct on the clean image and on every image within the threat model that an attack
    /// found, including attacks with another threat model.
    pub robust: Count,
    /// 95 % confidence interval of the robust accuracy (Wilson 1927), in [0, 1].
    pub interval: [f64; 2],
}

/// The result of an evaluation. It can be serialised, and its `Display` implementation writes a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// Clean accuracy.
    pub clean: Count,
    /// The attacks in their order.
    pub stages: Vec<StageReport>,
    /// Robust accuracy under all threat models together: the samples that are correct on the clean image and after
    /// every attack.
    pub robust: Count,
    /// 95 % confidence interval of the robust accuracy (Wilson 1927), in [0, 1].
    pub interval: [f64; 2],
    /// Robust accuracy under each threat model of the attacks.
    pub threats: Vec<ThreatReport>,
    /// Clean and robust accuracy of each class that has samples.
    pub classes: Vec<ClassReport>,
    /// Which samples each attack was run on.
    pub coverage: Coverage,
    /// The settings of AutoAttack, if the evaluation used this preset. The settings of every attack are in
    /// [`StageReport::settings`].
    pub config: Option<AutoAttackConfig>,
    /// The rule that decided whether a claimed adversarial example counts.
    pub verification: VerificationRule,
    /// Reasons to read the results with care.
    pub warnings: Vec<Warning>,
    /// Number of all images run through the model, including the clean pass and the checks.
    pub forwards: u64,
    /// Number of images for which a gradient was computed.
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

    /// The fraction of all samples, in [0, 1], that are correct on the clean image and for which no adversarial example
    /// within this threat model was found. Returns `None` if no attack of the evaluation has the threat model's norm.
    ///
    /// With minimum-norm attacks, this gives a whole robustness curve. Like every robust accuracy, it is an upper
    /// bound. The bound is loose above the largest epsilon that was attacked, and also below the smallest one if the
    /// attacks do not search for the nearest image.
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

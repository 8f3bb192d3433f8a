use std::time::Instant;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use twins_attack::{Attack, Samples};
use twins_nn::ImageClassifier;
use twins_train::{Accuracy, Evaluation, EvaluationProtocol};

use crate::error::ReportError;

/// Accuracy on test images, clean or under an attack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Score {
    /// The heading of the score's column, such as `clean` or `PGD-20 Linf 8/255`.
    pub label: String,
    /// How it was measured.
    pub kind: ScoreKind,
    /// The number of images that are classified correctly, and of all images.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// The duration of the measurement in seconds; `None` if it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Reasons to interpret the score with caution, such as signs of gradient masking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How a [`Score`] was measured, ordered from the weakest to the strongest evidence of robustness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ScoreKind {
    /// On clean images.
    Clean,
    /// On the last iterate of PGD, as reported in papers on adversarial training.
    LastIterate,
    /// On the adversarial examples of one attack, each verified.
    Attack,
    /// Under all attacks of AutoAttack together.
    #[serde(rename = "autoattack")]
    AutoAttack,
}

impl Score {
    /// Creates a score from an accuracy that was measured elsewhere.
    pub fn new(label: impl Into<String>, kind: ScoreKind, accuracy: Accuracy) -> Self {
        Self { label: label.into(), kind, accuracy, seconds: None, warnings: Vec::new() }
    }

    /// Sets the duration of the measurement in seconds.
    #[must_use]
    pub fn with_seconds(mut self, seconds: f64) -> Self {
        self.seconds = Some(seconds);
        self
    }

    /// Adds reasons to interpret the score with caution.
    #[must_use]
    pub fn with_warnings(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// Creates the scores of an evaluation: the clean accuracy and, if it was measured, the robust accuracy under the
    /// protocol.
    ///
    /// ```
    /// use twins_attack::{Norm, ThreatModel};
    /// use twins_report::{Score, ScoreKind};
    /// use twins_train::{Accuracy, Evaluation, EvaluationProtocol};
    ///
    /// # fn main() -> Result<(), twins_attack::AttackError> {
    /// let accuracy = |correct| Accuracy { correct, total: 100 };
    /// let evaluation = Evaluation { clean: accuracy(80), robust: Some(accuracy(45)) };
    /// let protocol = EvaluationProtocol::new(ThreatModel::new(Norm::Linf, 8.0 / 255.0)?, 20);
    /// let scores = Score::of_evaluation(&evaluation, &protocol);
    /// assert_eq!(scores[1].label, "PGD-20 Linf 8/255");
    /// assert_eq!(scores[1].kind, ScoreKind::LastIterate);
    /// # Ok(())
    /// # }
    /// ```
    pub fn of_evaluation(evaluation: &Evaluation, protocol: &EvaluationProtocol) -> Vec<Self> {
        let clean = Self::new("clean", ScoreKind::Clean, evaluation.clean);
        let robust = evaluation
            .robust
            .map(|accuracy| Self::new(protocol.to_string(), ScoreKind::LastIterate, accuracy));
        std::iter::once(clean).chain(robust).collect()
    }

    /// Creates a score for each threat model of a robustness evaluation by AutoAttack or by any list of attacks.
    pub fn of_robustness(report: &twins_attack::Report) -> Vec<Self> {
        let (name, kind) = match &report.config {
            Some(config) if config.is_published() => {
                (format!("AutoAttack {}", config.version()), ScoreKind::AutoAttack)
            }
            // Such results are not comparable with published ones.
            Some(config) => {
                (format!("AutoAttack {} with other settings", config.version()), ScoreKind::Attack)
            }
            None => {
                let attacks: Vec<&str> = report.stages.iter().map(|stage| stage.attack.as_str()).collect();
                (attacks.join(" + "), ScoreKind::Attack)
            }
        };
        let seconds: f64 = report.stages.iter().map(|stage| stage.seconds).sum();
        let scores = report.threats.iter().map(|threat| {
            let accuracy = Accuracy { correct: threat.robust.correct, total: threat.robust.total };
            let warnings = report.warnings.iter().map(ToString::to_string);
            Self::new(format!("{name} {}", threat.threat), kind, accuracy)
                .with_seconds(seconds)
                .with_warnings(warnings)
        });
        scores.collect()
    }

    /// Measures the accuracy under an attack on samples. The model runs as `model.valid()`.
    ///
    /// # Errors
    ///
    /// [`ReportError::Attack`].
    pub fn measure<M: ImageClassifier + Sync>(
        label: impl Into<String>,
        model: &M,
        samples: &Samples,
        attack: &dyn Attack,
    ) -> Result<Self, ReportError> {
        let victim = model.valid();
        let begin = Instant::now();
        let output = attack.run(&|images: Tensor<4>| victim.logits(images), samples)?;
        let correct = output.predictions.iter().zip(&output.labels).filter(|(p, y)| p == y).count();
        let accuracy = Accuracy { correct, total: samples.len() };
        Ok(Self::new(label, ScoreKind::Attack, accuracy).with_seconds(begin.elapsed().as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use twins_attack::{
        AutoAttackConfig, Norm, PgdConfig, RobustnessEvaluation, Silent, ThreatModel, Version,
    };

    use super::*;
    use crate::measure::two_pixels::TwoPixels;

    /// Margins 0.1, 0.2, 0.4, which end within radii above 0.05, 0.1 and 0.2, and a misclassified image.
    fn samples(device: &Device) -> Samples {
        let images = [[0.5, 0.4], [0.5, 0.3], [0.6, 0.2], [0.3, 0.6]].map(|[a, b]| [[[a, b]]]);
        Samples::new(Tensor::from_floats(images, device), vec![0; 4]).unwrap()
    }

    #[test]
    fn what_an_attack_leaves_correct_is_counted() {
        let device = Device::flex();
        let threat = ThreatModel::new(Norm::Linf, 0.15).unwrap();
        let fgsm = PgdConfig::fgsm(threat).build().unwrap();
        let model = TwoPixels::new(&device.clone().autodiff());
        let score = Score::measure("FGSM", &model, &samples(&device), &fgsm).unwrap();
        assert_eq!((score.accuracy.correct, score.accuracy.total, score.kind), (1, 4, ScoreKind::Attack));
        assert!(score.seconds.is_some());
    }

    #[test]
    fn autoattack_has_a_score_per_threat_model_and_is_called_so_only_as_published() {
        let device = Device::flex();
        let model = TwoPixels::new(&device);
        let logits = |images: Tensor<4>| model.logits(images);
        let threat = ThreatModel::new(Norm::Linf, 0.06).unwrap();
        let config = AutoAttackConfig::new(threat, Version::Standard).with_epsilons(&[0.06, 0.15]).unwrap();
        let scores = |config: AutoAttackConfig| {
            let evaluation = RobustnessEvaluation::autoattack(config).unwrap();
            let samples = samples(&device);
            let report = evaluation.evaluate(&logits, &samples, &mut Silent).unwrap().report;
            Score::of_robustness(&report)
        };
        let small = |config: AutoAttackConfig| config.with_steps(5).with_queries(5);
        let found: Vec<_> = scores(small(config.clone()))
            .into_iter()
            .map(|score| (score.label, score.kind, score.accuracy.correct, score.accuracy.total))
            .collect();
        let name = "AutoAttack standard with other settings";
        assert_eq!(found[0], (format!("{name} Linf 0.06"), ScoreKind::Attack, 2, 4));
        assert_eq!(found[1], (format!("{name} Linf 0.15"), ScoreKind::Attack, 1, 4));
        let published = scores(config);
        assert_eq!(published[0].label, "AutoAttack standard Linf 0.06");
        assert_eq!(published[0].kind, ScoreKind::AutoAttack);
    }

    #[test]
    fn scores_are_written_as_correct_and_total() {
        let score = Score::new("x", ScoreKind::AutoAttack, Accuracy { correct: 3, total: 4 });
        let text = serde_json::to_string(&score).unwrap();
        assert_eq!(text, r#"{"label":"x","kind":"autoattack","correct":3,"total":4}"#);
        assert_eq!(serde_json::from_str::<Score>(&text).unwrap(), score);
    }
}

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use twins_data::{DataError, Limit};

use crate::error::ExperimentError;

/// The evaluation of a training's result on the test images. The threat model is that of the validation
/// ([`TrainConfig::validation_protocol`](twins_train::TrainConfig::validation_protocol)).
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `test` | `measured` | whether the result is evaluated on the test images ([`TestMeasurement`]) | |
/// | `steps` | 20 | number of steps of PGD, which starts from the clean image with step size epsilon / 4 | ≥ 1 |
/// | `autoattack` | `none` | test images for standard AutoAttack ([`AutoAttackImages`]) | |
/// | `last` | `skipped` | whether the last checkpoint is evaluated too ([`LastCheckpoint`]) | |
/// | `report_images` | 200 | number of test images for the report's robustness curve and its attacks; 0 omits both | |
/// | `report_attacks` | `["fgsm", "apgd-ce"]` | attacks of the report ([`ReportAttack`]) | |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Whether the result is evaluated on the test images.
    pub test: TestMeasurement,
    /// Steps of PGD.
    pub steps: usize,
    /// The test images for AutoAttack.
    pub autoattack: AutoAttackImages,
    /// Whether the last checkpoint is evaluated too.
    pub last: LastCheckpoint,
    /// The number of test images for the report's robustness curve and its attacks.
    pub report_images: usize,
    /// Attacks of the report.
    pub report_attacks: Vec<ReportAttack>,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            test: TestMeasurement::Measured,
            steps: 20,
            autoattack: AutoAttackImages::None,
            last: LastCheckpoint::Skipped,
            report_images: 200,
            report_attacks: vec![ReportAttack::Fgsm, ReportAttack::ApgdCe],
        }
    }
}

impl EvaluationConfig {
    /// Checks the values.
    pub(crate) fn check(&self) -> Result<(), ExperimentError> {
        match self.steps {
            0 => Err(ExperimentError::Zero { setting: "evaluation.steps" }),
            _ => Ok(()),
        }
    }
}

/// Whether the result of a training is evaluated on the test images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TestMeasurement {
    /// The result is evaluated.
    #[default]
    Measured,
    /// The result is not evaluated: the training is for choosing settings on validation images.
    Skipped,
}

/// Whether the last checkpoint is evaluated on the test images in addition to the best one, which shows robust overfitting. If both are the
/// same, it is evaluated only once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LastCheckpoint {
    /// The last checkpoint is not evaluated.
    #[default]
    Skipped,
    /// Clean accuracy and accuracy under PGD are evaluated.
    Measured,
    /// Clean accuracy, accuracy under PGD, and accuracy under AutoAttack on the same images as for the best checkpoint are evaluated.
    WithAutoattack,
}

impl LastCheckpoint {
    /// The name in a file of settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Measured => "measured",
            Self::WithAutoattack => "with-autoattack",
        }
    }
}

/// The test images for AutoAttack: `none`, `all`, or a [`Limit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "Text", into = "String")]
pub enum AutoAttackImages {
    /// AutoAttack is not run.
    #[default]
    None,
    /// Every test image.
    All,
    /// Some of them.
    Some(Limit),
}

/// A string, or the number of a [`Limit`].
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Number(usize),
    Text(String),
}

impl TryFrom<Text> for AutoAttackImages {
    type Error = DataError;

    fn try_from(text: Text) -> Result<Self, DataError> {
        match text {
            Text::Number(number) => number.to_string().parse(),
            Text::Text(text) => text.parse(),
        }
    }
}

impl FromStr for AutoAttackImages {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        Ok(match text {
            "none" => Self::None,
            "all" => Self::All,
            _ => Self::Some(text.parse()?),
        })
    }
}

impl fmt::Display for AutoAttackImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::All => f.write_str("all"),
            Self::Some(limit) => limit.fmt(f),
        }
    }
}

impl From<AutoAttackImages> for String {
    fn from(images: AutoAttackImages) -> Self {
        images.to_string()
    }
}

/// An attack of the report beside PGD, with few steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ReportAttack {
    /// One step of length epsilon.
    Fgsm,
    /// Auto-PGD on the cross-entropy, 50 steps.
    ApgdCe,
    /// Auto-PGD on the targeted DLR loss (on the margin loss with fewer than four classes), 50 steps for each of up to 9 targets.
    ApgdT,
    /// Random search on the logits, 1 000 queries.
    Square,
}

impl ReportAttack {
    /// Every attack.
    pub const ALL: [Self; 4] = [Self::Fgsm, Self::ApgdCe, Self::ApgdT, Self::Square];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autoattack_images_round_trip() {
        for (json, images) in [
            ("\"none\"", AutoAttackImages::None),
            ("\"all\"", AutoAttackImages::All),
            ("\"100\"", AutoAttackImages::Some(Limit::Stratified(100))),
            ("100", AutoAttackImages::Some(Limit::Stratified(100))),
            ("\"first:7\"", AutoAttackImages::Some(Limit::First(7))),
        ] {
            let read: AutoAttackImages = serde_json::from_str(json).unwrap();
            assert_eq!(read, images, "{json}");
            let again = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<AutoAttackImages>(&again).unwrap(), images);
        }
        assert!(serde_json::from_str::<AutoAttackImages>("\"some\"").is_err());
    }
}

//! What `--json` writes.

use std::path::PathBuf;

use burn_twins::attack::{AutoAttackConfig, Norm, Precision, Verification, VerificationRule};
use burn_twins::data::{DataSource, Limit};
use burn_twins::models::{Architecture, HeldOut};
use serde::Serialize;

use crate::cli::{AttackName, Cli, PGD_STEPS};

#[derive(Serialize)]
pub struct Count {
    pub correct: usize,
    pub total: usize,
}

#[derive(Serialize)]
pub struct Stage {
    pub attack: String,
    pub robust: usize,
    pub seconds: f64,
    pub forwards: u64,
    pub backwards: u64,
    pub verification: Verification,
}

#[derive(Serialize)]
pub struct Sample {
    pub index: u64,
    pub label: usize,
    pub clean_prediction: usize,
    pub broken_by: Option<String>,
    pub distance: Option<f32>,
}

#[derive(Serialize)]
pub struct Config<'a> {
    pub weights: &'a PathBuf,
    pub arch: Architecture,
    pub data: &'a DataSource,
    /// A number of images, drawn from each class in proportion, or `first:N`.
    pub limit: Option<Limit>,
    /// How the images were drawn from a folder without parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    pub attack: AttackName,
    pub norm: Norm,
    pub epsilon: f32,
    #[serde(flatten)]
    pub pgd: Option<PgdSettings>,
    pub seed: u64,
    pub device: String,
    pub devices: usize,
    pub attack_precision: Precision,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoattack: Option<AutoAttackConfig>,
}

#[derive(Serialize)]
pub struct PgdSettings {
    pub steps: usize,
    pub step_size: f32,
    pub random_start: bool,
    pub restarts: usize,
}

#[derive(Serialize)]
pub struct Report<'a> {
    pub clean: Count,
    pub stages: Vec<Stage>,
    pub robust: Count,
    /// Of the robust accuracy, with 95 % confidence.
    pub interval: [f64; 2],
    pub config: Config<'a>,
    pub verification: VerificationRule,
    pub samples: Vec<Sample>,
}

impl Cli {
    /// The settings, as the report states them.
    pub fn config(
        &self,
        step_size: f32,
        held_out: Option<HeldOut>,
        autoattack: Option<AutoAttackConfig>,
    ) -> Config<'_> {
        Config {
            weights: &self.weights,
            arch: self.arch,
            data: &self.data,
            limit: self.limit,
            held_out,
            attack: self.attack,
            norm: self.norm,
            epsilon: self.epsilon,
            pgd: (self.attack == AttackName::Pgd).then(|| PgdSettings {
                steps: self.steps.unwrap_or(PGD_STEPS),
                step_size,
                random_start: self.random_start,
                restarts: self.restarts.unwrap_or(1),
            }),
            seed: self.common.seed,
            device: self.common.device_names(),
            devices: self.common.devices,
            attack_precision: self.attack_precision,
            autoattack,
        }
    }
}

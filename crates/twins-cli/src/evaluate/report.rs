//! The report that `--json` writes.

use std::path::PathBuf;

use burn_twins::attack::{AutoAttackConfig, Norm, PgdConfig, Precision, Report};
use burn_twins::data::{DataSource, Limit, Preprocessing};
use burn_twins::experiment::{DataConfig, InputNormalisation};
use burn_twins::models::{Architecture, HeldOut, ModelConfig, Net};
use serde::Serialize;

use crate::evaluate::cli::Cli;

/// The settings of an evaluation.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "EvaluationSettings"))]
pub struct Config<'a> {
    /// The file of weights.
    pub weights: &'a PathBuf,
    /// The architecture.
    pub arch: Architecture,
    /// Mean and standard deviation inside the model.
    pub normalisation: InputNormalisation,
    /// The data.
    pub data: &'a DataSource,
    /// The preprocessing (resize and crop) of image files; `None` if the images are not files of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// The number of images, drawn from each class in proportion, or `first:N`; `None` for all images.
    pub limit: Option<Limit>,
    /// How the images were drawn from a folder without parts; `None` if they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// Names of the attacks, separated by commas.
    pub attack: String,
    /// The norm of the threat model.
    pub norm: Norm,
    /// The radius on the [0, 1] scale; the largest one, if there are several.
    pub epsilon: f32,
    /// All radii on the [0, 1] scale, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub epsilons: Vec<f32>,
    #[serde(flatten)]
    pub pgd: Option<PgdSettings>,
    /// The seed of every random draw.
    pub seed: u64,
    /// The devices, separated by commas.
    pub device: String,
    /// The number of CPU shards.
    pub devices: usize,
    /// The precision of the gradients.
    pub attack_precision: Precision,
    /// The settings of AutoAttack; `None` with other attacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoattack: Option<AutoAttackConfig>,
}

/// The settings of PGD.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PgdSettings {
    /// Number of steps of PGD; `None` with other attacks.
    pub steps: usize,
    /// Step size of PGD on the [0, 1] scale; `null` if there are several radii and each attack uses a quarter of its own.
    pub step_size: Option<f32>,
    /// Whether PGD starts at a random point; `None` with other attacks.
    pub random_start: bool,
    /// Number of restarts of PGD; `None` with other attacks.
    pub restarts: usize,
}

/// Returns the report as JSON, with the settings of the command line.
pub fn json(
    cli: &Cli,
    data: &DataConfig,
    net: &Net,
    report: &Report,
    held_out: Option<HeldOut>,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut value = serde_json::to_value(report)?;
    value["config"] = serde_json::to_value(cli.config(data, net.config(), held_out, report.config.clone()))?;
    Ok(serde_json::to_string_pretty(&value)?)
}

impl Cli {
    /// The settings as the report records them.
    fn config(
        &self,
        data: &DataConfig,
        model: &ModelConfig,
        held_out: Option<HeldOut>,
        autoattack: Option<AutoAttackConfig>,
    ) -> Config<'_> {
        let compute = self.compute.config();
        Config {
            weights: &self.weights,
            arch: model.architecture(),
            normalisation: InputNormalisation(model.normalisation().cloned()),
            data: &self.data,
            preprocessing: data.source.has_image_files().then_some(data.preprocessing),
            limit: self.images.limit,
            held_out,
            attack: self.attack.join(","),
            norm: self.norm,
            epsilon: self.epsilon.iter().copied().fold(0.0, f32::max),
            epsilons: if self.epsilon.len() > 1 { self.epsilon.clone() } else { Vec::new() },
            pgd: self.attack.iter().any(|name| name == "pgd").then(|| PgdSettings {
                steps: self.attack_steps.unwrap_or(PgdConfig::DEFAULT_STEPS),
                step_size: if let [epsilon] = self.epsilon[..] {
                    Some(self.step_size.unwrap_or(PgdConfig::default_step_size(epsilon)))
                } else {
                    self.step_size
                },
                random_start: self.random_start,
                restarts: self.restarts.unwrap_or(1),
            }),
            seed: self.compute.seed(),
            device: compute.names(),
            devices: compute.cpu_shards,
            attack_precision: self.attack_precision,
            autoattack,
        }
    }
}

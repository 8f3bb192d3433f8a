use twins_attack::{AutoAttackConfig, RobustnessEvaluation, Version};
use twins_models::Architecture;
use twins_train::{EvaluationProtocol, TrainError};

use crate::error::ExperimentError;
use crate::settings::{AutoAttackImages, ExperimentConfig, Sources, contradiction};

/// An experiment with validated settings: one training with one method and one seed, and its evaluation.
///
/// Only [`ExperimentConfig::check`] and [`Draft::resolve`](crate::Draft::resolve) create it, so that a training never starts with settings
/// that are out of range or exclude each other. [`run`](Self::run) runs it.
///
/// ```
/// use twins_data::{DataSource, Limit, Task};
/// use twins_experiment::{DataConfig, ExperimentConfig, InitialModel, RunOptions};
/// use twins_models::Architecture;
/// use twins_train::{AdversaryConfig, Method, Schedule, TrainConfig};
/// use twins_attack::Norm;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let directory = folder.path().join("run");
/// let config = ExperimentConfig {
///     data: DataConfig::new(DataSource::Builtin(Task::Target)).with_limit(Some(Limit::Stratified(40))),
///     model: InitialModel::random(Architecture::TinyResNet),
///     training: TrainConfig::new(Method::At)
///         .with_epochs(1)
///         .with_schedule(Schedule::Constant)
///         .with_batch_size(20)
///         .with_adversary(AdversaryConfig::new(Norm::Linf, 8.0 / 255.0, 1, 8.0 / 255.0)),
///     ..ExperimentConfig::default()
/// };
/// # let mut config = config;
/// # config.evaluation.report_images = 0;
/// let outcome = config.check()?.run(&directory, RunOptions::new())?;
/// println!("clean accuracy {}", outcome.test.clean);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    config: ExperimentConfig,
    sources: Sources,
}

impl ExperimentConfig {
    /// Checks that every value is in range and that no setting excludes another.
    ///
    /// # Errors
    ///
    /// The first value out of range, or the first two settings that exclude each other.
    pub fn check(self) -> Result<Experiment, ExperimentError> {
        // First, because a number that is not finite has no source.
        self.training.validate()?;
        let sources = Sources::of_program(&self)?;
        if let Some(contradiction) = contradiction(&self, &sources) {
            return Err(contradiction.into());
        }
        Experiment::new(self, sources)
    }
}

impl Experiment {
    /// Creates an experiment if no setting excludes another.
    pub(crate) fn new(config: ExperimentConfig, sources: Sources) -> Result<Self, ExperimentError> {
        config.compute.check()?;
        config.evaluation.check()?;
        config.training.validate()?;
        // Without a given architecture, it is that of the model file; nearly all have batch normalisation.
        let batch_norm = config.model.arch.is_none_or(Architecture::has_batch_norm);
        config.training.check_parts(config.compute.replicas(), batch_norm)?;
        config.model.check()?;
        let experiment = Self { config, sources };
        if experiment.config.evaluation.autoattack != AutoAttackImages::None {
            // It would end in an error after the training, for example if epsilon is 0.
            let threat = experiment.test_protocol()?.threat;
            RobustnessEvaluation::autoattack(AutoAttackConfig::new(threat, Version::Standard))?;
        }
        Ok(experiment)
    }

    /// The settings.
    pub fn config(&self) -> &ExperimentConfig {
        &self.config
    }

    /// Where the settings come from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The protocol for robust accuracy on the test images: PGD from the clean image with step size epsilon / 4, in the threat model of the
    /// validation.
    ///
    /// # Errors
    ///
    /// Values out of range, which a checked experiment never has.
    pub fn test_protocol(&self) -> Result<EvaluationProtocol, TrainError> {
        let threat = self.config.training.validation_protocol()?.threat;
        Ok(EvaluationProtocol::new(threat, self.config.evaluation.steps))
    }

    /// Describes how the best checkpoint is chosen.
    ///
    /// # Errors
    ///
    /// Values out of range, which a checked experiment never has.
    pub fn describe_validation(&self) -> Result<String, TrainError> {
        let training = &self.config.training;
        let own = self.config.data.source.has_validation();
        let part = match (training.validation.fraction, own) {
            (Some(_), false) => "",
            (Some(_), true) => ", on the data's own validation part instead of a split of the training part",
            (None, false) => {
                return Ok("none, no images are held out: the last checkpoint is the result".to_owned());
            }
            (None, true) => {
                return Ok("none, the data's validation part is not used: the last checkpoint is the result"
                    .to_owned());
            }
        };
        Ok(format!("{}{part}", training.validation_protocol()?))
    }
}

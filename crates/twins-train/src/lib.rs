//! Adversarial fine-tuning of Burn classifiers.
//!
//! A [`Trainer`] takes a [`TrainConfig`], a data set and a model that implements [`ImageClassifier`] (one method), and
//! returns the fine-tuned model. The methods are adversarial training and TRADES, each plain or split between the two
//! wings of [`TwinsBatchNorm`](twins_nn::TwinsBatchNorm), as well as MART, AutoLoRa and clean training. Every method
//! can be combined with adversarial weight perturbation, and a custom [`Objective`] can replace the method. The best
//! checkpoint is selected on a validation split that is held out of training, never on test data. An interrupted run
//! can be resumed with bit-identical weights on the same device.

mod checkpoints;
mod config;
mod data_parallel;
mod error;
mod metrics;
mod objectives;
mod optimisers;
mod parameters;
mod random_keys;
mod session;
#[cfg(test)]
mod two_pixels;

pub use checkpoints::{Best, BestSource, ExistingRun};
pub use config::{
    AdversaryConfig, ConfigFile, EffectiveConfig, EpsilonSchedule, EvaluationProtocol, FrozenFrom, Method,
    NonFinite, Preset, ProbeConfig, ProtocolConfig, Resolved, Settings, SettingsFile, TrainConfig, Tuning,
    ValidationConfig,
};
pub use data_parallel::{MIN_IMAGES_PER_WING, evaluate, evaluate_on};
pub use error::TrainError;
pub use metrics::{
    Accuracy, Completed, CsvObserver, EpochMetrics, Evaluation, JsonLinesObserver, LayerMetrics,
    ObserverKind, StepRecord, StepReport, TensorBoardObserver, TrainingObserver, geometric_mean,
};
pub use objectives::{
    At, AutoLora, AutoLoraConfig, AutoLoraWeights, EpochStart, FrozenAt, Loss, Mart, MixedPrecision,
    Objective, ObjectiveParameters, Standard, Targets, Trades, TrainingBatch, TrainingImages, TrainingModel,
    TwinsAt, TwinsTrades,
};
pub use optimisers::{
    AdamW, AwpConfig, Decay, GroupsConfig, Optimiser, OptimiserConfig, ParameterGroups, Position, Schedule,
    Sgd, StepSettings, step, step_with_parameters,
};
pub use parameters::Weights;
pub use session::{Ended, ProgressDisplay, Trained, Trainer};
pub use twins_nn::ImageClassifier;

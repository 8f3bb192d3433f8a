//! The types that a program may share between threads. A type that loses the property no longer compiles here.

use std::sync::Arc;

use burn_twins::attack::{
    Apgd, AtPrecision, Attack, AttackError, AttackOutput, AutoAttackConfig, Ddn, Evaluation, Fab, Fmn,
    Journal, JournalError, Objective, Pgd, Replica, Report, RobustnessEvaluation, SampleStream, Samples,
    SettingError, SigmaZero, Square, SurrogateGradients, ThreatModel, UnknownAttack, UnknownCoverage,
    UnknownNorm, UnknownPrecision, UnknownVersion, UnreadableLength,
};
use burn_twins::data::{Augmentation, DataError, DataSource, ImageDataset, ListFault, PickleFault};
#[cfg(feature = "remote")]
use burn_twins::experiment::ServerError;
use burn_twins::experiment::{
    Contradiction, Experiment, ExperimentConfig, ExperimentError, StudyConfig, StudyError,
};
use burn_twins::models::{ModelCard, ModelConfig, ModelError, Net};
use burn_twins::nn::{
    HeadError, LoadError, StatisticsError, TwinsBatchNorm, TwinsBatchNormConfig, UnknownAffine, Wing,
    WingDrift,
};
use burn_twins::report::{self, NoPngUri, ReportError, RunRecord};
use burn_twins::train::{EpochMetrics, EvaluationProtocol, Method, TrainConfig, TrainError, Weights};
use burn_twins::{DeviceChoice, DeviceError, MemoryError, RemoteAddress};

const fn shared<T: Send + Sync + ?Sized>() {}

const _: () = {
    // The layer and models.
    shared::<TwinsBatchNorm>();
    shared::<TwinsBatchNormConfig>();
    shared::<Wing>();
    shared::<WingDrift>();
    shared::<Net>();
    shared::<ModelConfig>();
    shared::<ModelCard>();
    // Attacks and evaluations.
    shared::<ThreatModel>();
    shared::<Samples>();
    shared::<SampleStream<'static>>();
    shared::<Replica<'static>>();
    shared::<dyn Attack>();
    shared::<Pgd>();
    shared::<Apgd>();
    shared::<Fab>();
    shared::<Square>();
    shared::<Ddn>();
    shared::<Fmn>();
    shared::<SigmaZero>();
    shared::<Objective<'static>>();
    shared::<AutoAttackConfig>();
    shared::<RobustnessEvaluation>();
    shared::<AttackOutput>();
    shared::<Evaluation>();
    shared::<Report>();
    shared::<Journal>();
    shared::<AtPrecision<Net>>();
    shared::<SurrogateGradients<Net, Net>>();
    // Data, training, experiments, devices.
    shared::<Arc<dyn ImageDataset>>();
    shared::<Augmentation>();
    shared::<DataSource>();
    shared::<TrainConfig>();
    shared::<Method>();
    shared::<EvaluationProtocol>();
    shared::<EpochMetrics>();
    shared::<Weights>();
    shared::<ExperimentConfig>();
    shared::<Experiment>();
    shared::<StudyConfig>();
    shared::<RunRecord>();
    shared::<report::Report>();
    shared::<DeviceChoice>();
    shared::<RemoteAddress>();
    // Errors: threads return them, and `Box<dyn Error + Send + Sync>` requires `Sync` as well.
    shared::<StatisticsError>();
    shared::<LoadError>();
    shared::<HeadError>();
    shared::<UnknownAffine>();
    shared::<AttackError>();
    shared::<SettingError>();
    shared::<JournalError>();
    shared::<UnknownAttack>();
    shared::<UnknownCoverage>();
    shared::<UnknownNorm>();
    shared::<UnknownPrecision>();
    shared::<UnknownVersion>();
    shared::<UnreadableLength>();
    shared::<DataError>();
    shared::<ListFault>();
    shared::<PickleFault>();
    shared::<ModelError>();
    shared::<TrainError>();
    shared::<ReportError>();
    shared::<NoPngUri>();
    shared::<ExperimentError>();
    shared::<Contradiction>();
    shared::<StudyError>();
    shared::<DeviceError>();
    shared::<MemoryError>();
    #[cfg(feature = "remote")]
    shared::<ServerError>();
};

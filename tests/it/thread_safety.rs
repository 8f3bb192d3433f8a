//! The types that a program may share between threads, or at least move to another one. A type that loses the property
//! no longer compiles here.

use std::sync::Arc;

use burn_twins::attack::{
    Apgd, Attack, AttackError, AttackOutput, AutoAttackConfig, Ddn, Evaluation, Fab, Fmn, Journal, Objective,
    Pgd, Replica, Report, RobustnessEvaluation, SampleStream, Samples, SigmaZero, Square, ThreatModel,
};
use burn_twins::data::{Augmentation, DataSource, ImageDataset};
use burn_twins::experiment::{Experiment, ExperimentConfig, StudyConfig};
use burn_twins::models::{ModelCard, ModelConfig, Net};
use burn_twins::nn::{TwinsBatchNorm, TwinsBatchNormConfig, Wing, WingDrift};
use burn_twins::report::RunRecord;
use burn_twins::train::{EpochMetrics, EvaluationProtocol, Method, TrainConfig, TrainError, Weights};
use burn_twins::{DeviceChoice, RemoteAddress};

const fn shared<T: Send + Sync + ?Sized>() {}
const fn moved<T: Send>() {}

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
    shared::<DeviceChoice>();
    shared::<RemoteAddress>();
    // Errors cross threads with the result of a worker.
    moved::<AttackError>();
    moved::<TrainError>();
};

//! What is measured for the report, and the report itself.

use std::sync::Arc;

use burn::tensor::Device;
use burn_twins::attack::{
    ApgdConfig, Attack, AttackError, Length, Norm, PgdConfig, SquareConfig, ThreatModel,
};
use burn_twins::data::ImageDataset;
use burn_twins::models::{Architecture, HeldOut, Net};
use burn_twins::report::{
    Gallery, Provenance, ReportError, RobustnessCurve, RunRecord, Score, TestedCheckpoint, stratified_samples,
};
use burn_twins::train::{Evaluation, EvaluationProtocol, TrainConfig, Trained};

use crate::finetune::cli::{Cli, ReportAttack};
use crate::finetune::head::Head;
use crate::finetune::shell;
use crate::support::parts::Parts;

/// Radii of the curve, as multiples of the test's epsilon.
const RADII: [f64; 6] = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0];
/// Steps of PGD at each radius.
const CURVE_STEPS: usize = 10;
/// Images that the gallery chooses from, and shows.
const GALLERY: [usize; 2] = [24, 8];

/// A record of one method's run that has just started.
pub fn begin(
    cli: &Cli,
    config: &TrainConfig,
    arch: Architecture,
    parts: &Parts,
    head: &Head,
    sources: &str,
) -> Result<RunRecord, ReportError> {
    let weights = cli.weights.as_ref().map(|path| path.display().to_string());
    let (train, test) = (parts.train.len(), parts.test.len());
    let mut images = match &parts.validation {
        Some(own) => format!("{train} for training, {} for validation, {test} for the test", own.len()),
        None => format!("{train} for training and validation, {test} for the test"),
    };
    if let Some(HeldOut { images: all, fraction, seed }) = &parts.held_out {
        let share = 100.0 * fraction;
        images +=
            &format!("; the test images are {share:.0} % of all {all}, drawn by class with seed {seed}");
    }
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let provenance = Provenance::starting_now(config.seed)
        .with_devices([cli.common.device_names()])
        .with_command(shell::command(words));
    let record = RunRecord::new(config.method.name(), config, provenance)?
        .with_fact("data", &cli.data)
        .with_fact("images", images)
        .with_fact("architecture", arch)
        .with_fact(
            "pre-trained weights",
            weights.as_deref().unwrap_or("made by this program on the built-in letters"),
        )
        .with_fact("head", head)
        .with_fact("settings", sources)
        .with_classes(parts.test.classes());
    Ok(record)
}

/// Measures one method's net for the report; all attacks stay within the threat model of the test's protocol.
pub fn examine(
    cli: &Cli,
    config: &TrainConfig,
    record: RunRecord,
    trained: &Trained<Net>,
    test: &Arc<dyn ImageDataset>,
    (evaluation, protocol): (&Evaluation, &EvaluationProtocol),
    device: &Device,
) -> Result<RunRecord, Box<dyn std::error::Error>> {
    let threat = protocol.threat;
    let mut record = record.with_history(trained.history.clone());
    record.status = trained.ended.into();
    record.best = trained.best_epoch;
    record.checkpoint = Some(match trained.best_epoch {
        Some(_) => TestedCheckpoint::Best,
        None => TestedCheckpoint::Last,
    });
    record.scores = Score::of_evaluation(evaluation, protocol);

    let samples = stratified_samples(test.as_ref(), GALLERY[0], device)?;
    let attack = protocol.build()?;
    let label = protocol.to_string();
    record.gallery = Some(Gallery::measure(&trained.best, &samples, label, &attack, GALLERY[1])?);

    let images = cli.report_images.unwrap_or(if cli.is_builtin() { 100 } else { 200 });
    if images == 0 {
        return Ok(record);
    }
    let samples = stratified_samples(test.as_ref(), images, device)?;
    let epsilon = Length::from(threat.epsilon()).value();
    let mut radii = RADII.map(|multiple| multiple * epsilon).to_vec();
    match threat.norm() {
        // Every image of the box is within a radius of 1.
        Norm::Linf => radii.retain(|radius| *radius <= 1.0),
        Norm::L2 | Norm::L1 => (),
        // Radii are counts.
        Norm::L0 => {
            radii.iter_mut().for_each(|radius| *radius = radius.round());
            radii.dedup();
        }
    }
    let last = trained.history.last().map(|metrics| metrics.epoch);
    let best_is_last = last.is_some() && trained.best_epoch.map(|best| best.epoch) == last;
    let models = if trained.best_epoch.is_none() {
        vec![("last", &trained.best)]
    } else if best_is_last {
        vec![("best and last", &trained.best)]
    } else {
        vec![("best", &trained.best), ("last", &trained.last)]
    };
    for (label, model) in models {
        let curve = RobustnessCurve::measure(label, model, &samples, threat.norm(), &radii, CURVE_STEPS)?;
        record.curves.push(curve);
    }
    for name in &cli.report_attacks {
        let (label, attack) = name.build(threat, test.classes().len(), config.seed)?;
        record.scores.push(Score::measure(label, &trained.best, &samples, attack.as_ref())?);
    }
    Ok(record)
}

impl ReportAttack {
    /// The attack, under the name that the report gives it.
    fn build(
        self,
        threat: ThreatModel,
        classes: usize,
        seed: u64,
    ) -> Result<(String, Box<dyn Attack>), AttackError> {
        Ok(match self {
            ReportAttack::Fgsm => (format!("FGSM {threat}"), Box::new(PgdConfig::fgsm(threat).build()?)),
            ReportAttack::ApgdCe => (
                format!("APGD-CE {threat}, 50 steps"),
                Box::new(ApgdConfig::new(threat).with_steps(50).with_seed(seed).build()?),
            ),
            ReportAttack::ApgdT => {
                let targets = 9.min(classes.saturating_sub(1));
                let config = ApgdConfig::targeted(threat, targets).with_steps(50).with_seed(seed);
                (format!("APGD-T {threat}, 50 steps, up to 9 targets"), Box::new(config.build()?))
            }
            ReportAttack::Square => (
                format!("Square {threat}, 1000 queries"),
                Box::new(SquareConfig::new(threat).with_queries(1000).with_seed(seed).build()?),
            ),
        })
    }
}

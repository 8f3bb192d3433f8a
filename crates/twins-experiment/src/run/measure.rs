use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use twins_attack::{
    ApgdConfig, Attack, AttackError, AutoAttackConfig, Length, Norm, PgdConfig, Replica,
    RobustnessEvaluation, SampleStream, Silent, SquareConfig, ThreatModel, Version,
};
use twins_data::ImageDataset;
use twins_models::Net;
use twins_report::{Gallery, RobustnessCurve, RunRecord, Score, stratified_samples};
use twins_train::{Evaluation, EvaluationProtocol, Trained, evaluate_on};

use crate::data::DatasetSource;
use crate::error::ExperimentError;
use crate::settings::{AutoAttackImages, EvaluationConfig, ReportAttack};

/// Images in a batch of a measurement.
const BATCH_SIZE: usize = 100;
/// Images under attack at a time in AutoAttack.
const AUTOATTACK_BATCH_SIZE: usize = 200;
/// Radii of the curve, as multiples of the test's epsilon.
const RADII: [f64; 6] = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0];
/// Steps of PGD at each radius.
const CURVE_STEPS: usize = 10;
/// Images that the gallery chooses from, and shows.
const GALLERY: [usize; 2] = [24, 8];

/// A trained network and what it is measured with.
pub(super) struct Measurement<'a> {
    pub(super) config: &'a EvaluationConfig,
    pub(super) protocol: &'a EvaluationProtocol,
    pub(super) seed: u64,
    pub(super) test: &'a Arc<dyn ImageDataset>,
    pub(super) devices: &'a [Device],
}

impl Measurement<'_> {
    /// Clean and robust accuracy on the test images, and AutoAttack where it is asked for.
    pub(super) fn scores(&self, net: &Net, record: &mut RunRecord) -> Result<Evaluation, ExperimentError> {
        let evaluation = evaluate_on(net, self.test, Some(self.protocol), BATCH_SIZE, self.devices)?;
        record.scores = Score::of_evaluation(&evaluation, self.protocol);
        let images = match self.config.autoattack {
            AutoAttackImages::None => return Ok(evaluation),
            AutoAttackImages::All => self.test.clone(),
            AutoAttackImages::Some(limit) => limit.apply(self.test.clone())?,
        };
        record.scores.extend(self.autoattack(net, images)?);
        Ok(evaluation)
    }

    fn autoattack(&self, net: &Net, images: Arc<dyn ImageDataset>) -> Result<Vec<Score>, ExperimentError> {
        let config = AutoAttackConfig::new(self.protocol.threat, Version::Standard).with_seed(self.seed);
        let source = DatasetSource::new(images)?;
        let samples = SampleStream::new(&source, &self.devices[0])?.with_batch_size(AUTOATTACK_BATCH_SIZE)?;
        let net = net.valid();
        let victims: Vec<_> = self
            .devices
            .iter()
            .map(|device| {
                let net = net.clone().to_device(device);
                move |images: Tensor<4>| net.forward(images)
            })
            .collect();
        let replicas: Vec<_> = victims
            .iter()
            .zip(self.devices)
            .map(|(victim, device)| Replica::new(victim, device.clone()))
            .collect();
        let report =
            RobustnessEvaluation::autoattack(config)?.evaluate_stream(&replicas, &samples, &mut Silent)?;
        Ok(Score::of_robustness(&report))
    }

    /// What the report shows beside the scores; all attacks stay within the threat model of the test's protocol.
    pub(super) fn examine(
        &self,
        trained: &Trained<Net>,
        record: &mut RunRecord,
    ) -> Result<(), ExperimentError> {
        let (device, threat) = (&self.devices[0], self.protocol.threat);
        let samples = stratified_samples(self.test.as_ref(), GALLERY[0], device)?;
        let (attack, shown) = (self.protocol.build()?, GALLERY[1]);
        record.gallery =
            Some(Gallery::measure(&trained.best, &samples, self.protocol.to_string(), &attack, shown)?);
        if self.config.report_images == 0 {
            return Ok(());
        }
        let samples = stratified_samples(self.test.as_ref(), self.config.report_images, device)?;
        let radii = radii(threat);
        for (label, model) in curves(trained) {
            let curve = RobustnessCurve::measure(label, model, &samples, threat.norm(), &radii, CURVE_STEPS)?;
            record.curves.push(curve);
        }
        for name in &self.config.report_attacks {
            let (label, attack) = name.build(threat, self.test.classes().len(), self.seed)?;
            record.scores.push(Score::measure(label, &trained.best, &samples, attack.as_ref())?);
        }
        Ok(())
    }
}

fn radii(threat: ThreatModel) -> Vec<f64> {
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
    radii
}

/// The models that have a curve, with its label.
fn curves(trained: &Trained<Net>) -> Vec<(&'static str, &Net)> {
    let last = trained.history.last().map(|metrics| metrics.epoch);
    match trained.best_epoch {
        None => vec![("last", &trained.best)],
        Some(best) if Some(best.epoch) == last => vec![("best and last", &trained.best)],
        Some(_) => vec![("best", &trained.best), ("last", &trained.last)],
    }
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
            Self::Fgsm => (format!("FGSM {threat}"), Box::new(PgdConfig::fgsm(threat).build()?)),
            Self::ApgdCe => (
                format!("APGD-CE {threat}, 50 steps"),
                Box::new(ApgdConfig::new(threat).with_steps(50).with_seed(seed).build()?),
            ),
            Self::ApgdT => {
                let targets = 9.min(classes.saturating_sub(1));
                let config = ApgdConfig::targeted(threat, targets).with_steps(50).with_seed(seed);
                (format!("APGD-T {threat}, 50 steps, up to 9 targets"), Box::new(config.build()?))
            }
            Self::Square => (
                format!("Square {threat}, 1000 queries"),
                Box::new(SquareConfig::new(threat).with_queries(1000).with_seed(seed).build()?),
            ),
        })
    }
}

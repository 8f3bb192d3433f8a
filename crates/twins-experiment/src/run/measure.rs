use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use twins_attack::{
    ApgdConfig, Attack, AttackError, AutoAttackConfig, Length, Loss, Norm, Observer, PgdConfig, Progress,
    Replica, RobustnessEvaluation, SampleStream, SquareConfig, ThreatModel, Version,
};
use twins_data::ImageDataset;
use twins_models::Net;
use twins_report::{Gallery, RobustnessCurve, RunRecord, Score, stratified_samples};
use twins_train::{BestSource, Evaluation, EvaluationProtocol, Trained, evaluate_on};

use crate::data::DatasetSource;
use crate::error::ExperimentError;
use crate::settings::{AutoAttackImages, EvaluationConfig, LastCheckpoint, ReportAttack};

/// The batch size of an evaluation.
const BATCH_SIZE: usize = 100;
/// The number of images that AutoAttack attacks at a time.
const AUTOATTACK_BATCH_SIZE: usize = 200;
/// The radii of the robustness curve, as multiples of the test's epsilon.
const RADII: [f64; 6] = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0];
/// Steps of PGD at each radius.
const CURVE_STEPS: usize = 10;
/// The number of images from which the gallery is chosen, and the number that it shows.
const GALLERY: [usize; 2] = [24, 8];

/// Accuracies on the test images.
pub(super) struct TestAccuracies {
    pub(super) best: Evaluation,
    /// `None` if the settings skip it.
    pub(super) last: Option<Evaluation>,
}

/// A trained network, and the settings and data of its evaluation.
pub(super) struct Measurement<'a> {
    pub(super) config: &'a EvaluationConfig,
    pub(super) protocol: &'a EvaluationProtocol,
    pub(super) seed: u64,
    /// Whether the training averaged its weights (`ema_decay`).
    pub(super) averages: bool,
    pub(super) test: &'a Arc<dyn ImageDataset>,
    pub(super) devices: &'a [Device],
    /// Ends the measurement with [`AttackError::Stopped`] when it becomes true.
    pub(super) stop: &'a AtomicBool,
}

/// Ends an evaluation when the flag becomes true.
struct UntilStopped<'a>(&'a AtomicBool);

impl Observer for UntilStopped<'_> {
    fn progress(&mut self, _: &Progress<'_>) -> ControlFlow<()> {
        if self.0.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Measurement<'_> {
    /// Evaluates the best checkpoint, and the last one if the settings enable it. If both are the same, it is evaluated once.
    pub(super) fn checkpoints(
        &self,
        trained: &Trained<Net>,
        record: &mut RunRecord,
    ) -> Result<TestAccuracies, ExperimentError> {
        let (best, scores) = self.evaluate(&trained.best)?;
        let attacked = self.autoattack(&trained.best)?;
        record.scores = [&scores[..], &attacked].concat();
        let with_autoattack = match self.config.last {
            LastCheckpoint::Skipped => return Ok(TestAccuracies { best, last: None }),
            LastCheckpoint::Measured => false,
            LastCheckpoint::WithAutoattack => true,
        };
        let (last, mut scores, attacked) = match self.is_last(trained) {
            true => (best, scores, if with_autoattack { attacked } else { Vec::new() }),
            false => {
                let (last, scores) = self.evaluate(&trained.last)?;
                let attacked = if with_autoattack { self.autoattack(&trained.last)? } else { Vec::new() };
                (last, scores, attacked)
            }
        };
        scores.extend(attacked);
        record.last_scores = scores;
        Ok(TestAccuracies { best, last: Some(last) })
    }

    fn check_stop(&self) -> Result<(), AttackError> {
        if self.stop.load(Ordering::Relaxed) { Err(AttackError::Stopped) } else { Ok(()) }
    }

    /// Clean and robust accuracy on the test images.
    fn evaluate(&self, net: &Net) -> Result<(Evaluation, Vec<Score>), ExperimentError> {
        self.check_stop()?;
        let evaluation = evaluate_on(net, self.test, Some(self.protocol), BATCH_SIZE, self.devices)?;
        Ok((evaluation, Score::of_evaluation(&evaluation, self.protocol)))
    }

    /// Runs AutoAttack if the settings enable it; returns no scores otherwise.
    fn autoattack(&self, net: &Net) -> Result<Vec<Score>, ExperimentError> {
        let images = match self.config.autoattack {
            AutoAttackImages::None => return Ok(Vec::new()),
            AutoAttackImages::All => self.test.clone(),
            AutoAttackImages::Some(limit) => limit.apply(self.test.clone())?,
        };
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
        let evaluation = RobustnessEvaluation::autoattack(config)?;
        let report = evaluation.evaluate_stream(&replicas, &samples, &mut UntilStopped(self.stop))?;
        Ok(Score::of_robustness(&report))
    }

    /// Computes the report's data other than scores. All attacks use the threat model of the test protocol.
    pub(super) fn examine(
        &self,
        trained: &Trained<Net>,
        record: &mut RunRecord,
    ) -> Result<(), ExperimentError> {
        self.check_stop()?;
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
        for (label, model) in self.curves(trained) {
            self.check_stop()?;
            let curve = RobustnessCurve::measure(label, model, &samples, threat.norm(), &radii, CURVE_STEPS)?;
            record.curves.push(curve);
        }
        for name in &self.config.report_attacks {
            self.check_stop()?;
            let (label, attack) = name.build(threat, self.test.classes().len(), self.seed)?;
            record.scores.push(Score::measure(label, &trained.best, &samples, attack.as_ref())?);
        }
        Ok(())
    }

    /// The models that have a robustness curve, with its label.
    fn curves<'t>(&self, trained: &'t Trained<Net>) -> Vec<(&'static str, &'t Net)> {
        match (trained.best_epoch, self.is_last(trained)) {
            (None, true) => vec![("last", &trained.best)],
            (None, false) => vec![("averaged", &trained.best), ("last", &trained.last)],
            (Some(_), true) => vec![("best and last", &trained.best)],
            (Some(_), false) => vec![("best", &trained.best), ("last", &trained.last)],
        }
    }

    /// Whether the result of a training is its last checkpoint: the weights after the last epoch, not their average.
    fn is_last<M>(&self, trained: &Trained<M>) -> bool {
        let last = trained.history.last().map(|metrics| metrics.epoch);
        match trained.best_epoch {
            Some(best) => Some(best.epoch) == last && best.source == BestSource::Raw,
            // Without validation, the result is the average if there is one.
            None => !self.averages,
        }
    }
}

/// The warnings about the scores of a run, each with its score and, for the last checkpoint, with the checkpoint.
pub(super) fn warnings(record: &RunRecord) -> Vec<String> {
    // If the last checkpoint is the result, its scores are those of the result.
    let last = record.last_scores.iter().filter(|score| !record.scores.contains(score));
    let scores = record.scores.iter().map(|score| (score, "")).chain(last.map(|score| (score, " (last)")));
    let of_score = |(score, checkpoint): (&Score, &str)| -> Vec<String> {
        score.warnings.iter().map(|warning| format!("{}{checkpoint}: {warning}", score.label)).collect()
    };
    scores.flat_map(of_score).collect()
}

fn radii(threat: ThreatModel) -> Vec<f64> {
    let epsilon = Length::from(threat.epsilon()).value();
    let mut radii = RADII.map(|multiple| multiple * epsilon).to_vec();
    match threat.norm() {
        // A radius of 1 already covers all images in [0, 1].
        Norm::Linf => radii.retain(|radius| *radius <= 1.0),
        Norm::L2 | Norm::L1 => (),
        // Radii are numbers of values.
        Norm::L0 => {
            radii.iter_mut().for_each(|radius| *radius = radius.round());
            radii.dedup();
        }
    }
    radii
}

impl ReportAttack {
    /// Builds the attack, with its name in the report.
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
                // As in AutoAttack.
                let loss = Loss::dlr_or_margin(classes, true);
                let config = ApgdConfig::targeted(threat, 9).with_loss(loss).with_steps(50).with_seed(seed);
                let replaced = if loss == Loss::Dlr { "" } else { " with the margin loss" };
                (format!("APGD-T{replaced} {threat}, 50 steps, up to 9 targets"), Box::new(config.build()?))
            }
            Self::Square => (
                format!("Square {threat}, 1000 queries"),
                Box::new(SquareConfig::new(threat).with_queries(1000).with_seed(seed).build()?),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use twins_attack::Samples;
    use twins_data::{BuiltinDataset, Limit, Part, Task};
    use twins_models::{Architecture, ModelConfig};
    use twins_report::{Provenance, ScoreKind};
    use twins_train::{Accuracy, Best, Ended, EpochMetrics, Method, TrainConfig};

    use super::*;

    #[test]
    fn the_attacks_of_the_report_work_with_any_number_of_classes() {
        let threat = ThreatModel::new(Norm::Linf, 0.1).unwrap();
        // The pixels are the logits. An image with a margin of 0.3 is robust, one with a margin of 0.1 is not.
        let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
        for classes in [2, 3, 4] {
            let image = |other: f32| [vec![0.5], vec![other], vec![0.1; classes - 2]].concat();
            let images = TensorData::new([image(0.2), image(0.4)].concat(), [2, 1, 1, classes]);
            let samples = Samples::new(Tensor::<4>::from_data(images, &Device::flex()), vec![0; 2]).unwrap();
            for attack in ReportAttack::ALL {
                let (label, built) = attack.build(threat, classes, 0).unwrap();
                assert_eq!(built.run(&victim, &samples).unwrap().fooled, [false, true], "{label}, {classes}");
                let replaced = attack == ReportAttack::ApgdT && classes < 4;
                assert_eq!(label.contains("with the margin loss"), replaced, "{label}, {classes}");
            }
        }
    }

    #[test]
    fn a_warning_is_given_once_with_its_checkpoint() {
        let score = |correct, warning: &str| {
            let accuracy = Accuracy { correct, total: 9 };
            Score::new("AA", ScoreKind::AutoAttack, accuracy).with_warnings([warning.to_owned()])
        };
        let mut record =
            RunRecord::new("x", &TrainConfig::new(Method::At), Provenance::starting_now(0)).unwrap();
        record.scores = vec![score(3, "masked")];
        record.last_scores = record.scores.clone();
        assert_eq!(warnings(&record), ["AA: masked"]);
        record.last_scores = vec![score(2, "randomised")];
        assert_eq!(warnings(&record), ["AA: masked", "AA (last): randomised"]);
    }

    const EPOCHS: usize = 3;

    fn epoch(epoch: usize) -> EpochMetrics {
        let accuracy = Accuracy { correct: 1, total: 2 };
        serde_json::from_value(serde_json::json!({
            "epoch": epoch, "steps": epoch, "learning_rate": 0.1, "loss": 1.0, "loss_frozen": null, "loss_adaptive": 1.0,
            "train_adversarial_accuracy": accuracy, "ema_accuracy": null, "gradient_norm": 1.0, "skipped_batches": 0,
            "images_per_second": 1.0, "seconds": 1.0, "seconds_waiting": 0.0,
        }))
        .unwrap()
    }

    /// Clean, PGD and AutoAttack: what was measured of a checkpoint, AutoAttack's kind last.
    fn kinds(scores: &[Score]) -> Vec<ScoreKind> {
        scores.iter().map(|score| score.kind).collect()
    }

    #[test]
    fn the_last_checkpoint_is_measured_once_and_only_where_it_is_another() {
        let device = Device::flex();
        let test: Arc<dyn ImageDataset> = Arc::new(BuiltinDataset::new(Task::Target, Part::Test, 20, 0));
        let threat = ThreatModel::new(Norm::Linf, 32.0 / 255.0).unwrap();
        let protocol = EvaluationProtocol::new(threat, 1);
        let net = |seed| {
            let config = ModelConfig::new(Architecture::TinyResNet, test.classes().len()).with_seed(seed);
            config.init(&device.clone().autodiff()).unwrap()
        };
        let devices = [device.clone()];
        let evaluate = |net: &Net| evaluate_on(net, &test, Some(&protocol), BATCH_SIZE, &devices).unwrap();
        let best_net = net(0);
        let best_accuracy = evaluate(&best_net);
        // Networks that have learnt nothing may be right by chance on as many images.
        let (last_net, last_accuracy) = (1..)
            .map(net)
            .map(|net| (evaluate(&net), net))
            .find_map(|(accuracy, net)| (accuracy.clean != best_accuracy.clean).then_some((net, accuracy)))
            .unwrap();
        let measure_averaged = |averages, last: LastCheckpoint, best_epoch: Option<(usize, BestSource)>| {
            let config = EvaluationConfig {
                autoattack: AutoAttackImages::Some(Limit::First(1)),
                last,
                ..EvaluationConfig::default()
            };
            let stop = AtomicBool::new(false);
            let measurement = Measurement {
                config: &config,
                protocol: &protocol,
                seed: 0,
                averages,
                test: &test,
                devices: &devices,
                stop: &stop,
            };
            let accuracy = Accuracy { correct: 1, total: 2 };
            let trained = Trained {
                last: last_net.clone(),
                best: best_net.clone(),
                best_epoch: best_epoch.map(|(epoch, source)| Best {
                    epoch,
                    source,
                    clean: accuracy,
                    robust: accuracy,
                }),
                history: (1..=EPOCHS).map(epoch).collect(),
                ended: Ended::Completed,
                damaged_checkpoint: None,
                observer_errors: Vec::new(),
            };
            let mut record =
                RunRecord::new("x", &TrainConfig::new(Method::At), Provenance::starting_now(0)).unwrap();
            let accuracies = measurement.checkpoints(&trained, &mut record).unwrap();
            assert_eq!(accuracies.best, best_accuracy);
            assert_eq!(
                kinds(&record.scores),
                [ScoreKind::Clean, ScoreKind::LastIterate, ScoreKind::AutoAttack]
            );
            (accuracies.last, record)
        };
        let measure = |last, best_epoch| measure_averaged(false, last, best_epoch);
        let clean_and_pgd = [ScoreKind::Clean, ScoreKind::LastIterate];

        let (last, record) = measure(LastCheckpoint::Skipped, Some((1, BestSource::Raw)));
        assert_eq!((last, record.last_scores), (None, Vec::new()));

        // The averaged weights of the last epoch are not its checkpoint.
        for best in [(1, BestSource::Raw), (EPOCHS, BestSource::Ema)] {
            let (last, record) = measure(LastCheckpoint::Measured, Some(best));
            assert_eq!(last, Some(last_accuracy), "{best:?}");
            assert_eq!(record.last_scores, Score::of_evaluation(&last_accuracy, &protocol), "no AutoAttack");
        }
        // Were it measured again, it would have the accuracy of the other network.
        for best in [Some((EPOCHS, BestSource::Raw)), None] {
            let (last, record) = measure(LastCheckpoint::Measured, best);
            assert_eq!(last, Some(best_accuracy), "{best:?}");
            assert_eq!(kinds(&record.last_scores), clean_and_pgd);
            assert_eq!(record.last_scores, record.scores[..2]);
        }
        // Without validation, the averaged weights are the result.
        let (last, record) = measure_averaged(true, LastCheckpoint::Measured, None);
        assert_eq!(last, Some(last_accuracy));
        assert_eq!(record.last_scores, Score::of_evaluation(&last_accuracy, &protocol));
        let (_, record) = measure(LastCheckpoint::WithAutoattack, Some((EPOCHS, BestSource::Raw)));
        assert_eq!(record.last_scores, record.scores, "the seconds too");
        let (last, record) = measure(LastCheckpoint::WithAutoattack, Some((1, BestSource::Raw)));
        assert_eq!(last, Some(last_accuracy));
        assert_eq!(record.last_scores[2].kind, ScoreKind::AutoAttack);
    }
}

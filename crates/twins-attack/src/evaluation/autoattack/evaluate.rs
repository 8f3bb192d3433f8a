use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::Tensor;

use super::checks::{Checked, check_model};
use super::course::Course;
use super::images::Images;
use super::replica::{Replica, check_replicas};
use super::{AttackKind, AutoAttack, EvaluationState, Observer, Outcome, Report, StageReport, Warning};
use crate::engine::stage::Stage;
use crate::engine::task::{Completed, Cost, Results};
use crate::engine::verification::Verification;
use crate::engine::workers;
use crate::error::AttackError;
use crate::model::classifier::Classifier;
use crate::model::clean::CleanLogits;
use crate::norms::threat_model::ThreatModel;
use crate::samples::in_memory::Samples;
use crate::samples::source::SampleStream;

/// The result of [`AutoAttack::evaluate`].
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The figures.
    pub report: Report,
    /// The misclassified images that were found, and the clean ones of the other samples:
    /// `[samples, channels, height, width]`.
    pub adversarial: Tensor<4>,
}

/// Square is suspiciously good if it alone breaks more than this share of the samples.
const SQUARE_EFFECTIVE: f64 = 0.002;

impl AutoAttack {
    /// Evaluates the robust accuracy of a model on these samples.
    ///
    /// What an attack claims counts only once it is verified: the image lies in the box and in the ball, and a fresh
    /// forward pass misclassifies it ([`VerificationRule`](crate::VerificationRule)). A sample whose claims are refuted goes
    /// to the next attack; each stage reports how many were.
    ///
    /// With `saved`, resumes an earlier evaluation that was interrupted. A deterministic model comes to the same result. A
    /// randomised model draws anew, and is not recognised by its logits (see [`EvaluationState::randomised`]).
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use twins_attack::{AutoAttackConfig, Norm, Samples, Silent, ThreatModel, Version};
    /// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
    /// let images = Tensor::from_floats([[[[0.6, 0.5, 0.1]]], [[[0.9, 0.1, 0.1]]]], &Device::flex());
    /// let samples = Samples::new(images, vec![0, 0])?;
    /// let threat = ThreatModel::new(Norm::Linf, 0.1)?;
    /// let config = AutoAttackConfig::new(threat, Version::Standard).with_queries(10);
    /// let evaluation = config.build()?.evaluate(&victim, &samples, None, &mut Silent)?;
    /// assert_eq!(evaluation.report.robust.correct, 1);
    /// assert_eq!(evaluation.report.samples[0].broken_by.as_deref(), Some("apgd-ce"));
    /// println!("{}", evaluation.report);
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Attack::run`](crate::Attack::run); [`AttackError::OtherEvaluation`], [`AttackError::OtherModel`] or
    /// [`AttackError::DamagedState`] if the saved state does not fit; [`AttackError::Stopped`] by the observer.
    pub fn evaluate(
        &self,
        victim: &(dyn Classifier + Sync),
        samples: &Samples,
        saved: Option<EvaluationState>,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation, AttackError> {
        self.evaluate_on(&[Replica::new(victim, samples.device().clone())], samples, saved, observer)
    }

    /// The same with several copies of the model, on devices of their own or as shares of the CPU's cores.
    ///
    /// The samples of each stage go to whichever replica has room, so that no replica waits for another before the
    /// stage's end. Draws belong to the sample, so that only the devices' rounding can change a verdict: on equal
    /// devices the stages and records are those of [`evaluate`](Self::evaluate), however many there are, as far as the
    /// model's logits do not depend on the rest of the batch. A saved state knows nothing of replicas: any number of
    /// them can resume it. The clean pass and the checks are made on the first one's device, wherever the samples
    /// are. Replicas of a randomised model are not compared with
    /// each other, and which replica draws for which sample differs from run to run.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use twins_attack::{AutoAttackConfig, Norm, Replica, Samples, Silent, ThreatModel, Version};
    /// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
    /// let images = Tensor::from_floats([[[[0.6, 0.5, 0.1]]], [[[0.9, 0.1, 0.1]]]], &Device::flex());
    /// let samples = Samples::new(images, vec![0, 0])?;
    /// let config = AutoAttackConfig::new(ThreatModel::new(Norm::Linf, 0.1)?, Version::Standard).with_queries(10);
    /// let replicas = [Replica::new(&victim, Device::flex()), Replica::new(&victim, Device::flex())];
    /// let evaluation = config.build()?.evaluate_on(&replicas, &samples, None, &mut Silent)?;
    /// assert_eq!(evaluation.report.robust.correct, 1);
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate); [`AttackError::NoReplica`]; [`AttackError::OtherReplica`] if the first sample's
    /// logits differ.
    pub fn evaluate_on(
        &self,
        replicas: &[Replica<'_>],
        samples: &Samples,
        saved: Option<EvaluationState>,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation, AttackError> {
        let mut images = Images::new(samples, observer);
        if let Some(saved) = &saved {
            images.take(saved)?;
        }
        let report = self.evaluate_stream(replicas, &samples.stream(), saved, &mut images)?;
        Ok(Evaluation { report, adversarial: samples.upload(images.pixels) })
    }

    /// The same with images that are read when they are needed. Memory does not grow with their number, but for the clean logits
    /// and some scalars for each sample. The adversarial examples go to the observer alone, one by one
    /// ([`Outcome::adversarial`]).
    ///
    /// See [`SampleStream`] for an example.
    ///
    /// # Errors
    /// As [`evaluate_on`](Self::evaluate_on); [`AttackError::Source`] and what is wrong with an image.
    pub fn evaluate_stream(
        &self,
        replicas: &[Replica<'_>],
        samples: &SampleStream<'_>,
        saved: Option<EvaluationState>,
        observer: &mut dyn Observer,
    ) -> Result<Report, AttackError> {
        let begin = Instant::now();
        let Replica { victim, device } = replicas.first().ok_or(AttackError::NoReplica)?;
        let samples = &samples.to_device(device);
        let mut clean = CleanLogits::compute(*victim, samples)?;
        let (stages, chosen) = self.stages(clean.classes())?;
        let gradients = stages.iter().any(|attack| attack.uses_gradients());
        let Checked { mut warnings, randomised, cost: mut total } =
            check_model(*victim, samples, &clean, gradients)?;
        let randomised = randomised || self.expects_randomised();
        total += check_replicas(replicas, samples, &clean, randomised, gradients)?;
        warnings.extend(chosen);
        total += Cost { forwards: clean.forwards(), backwards: 0 };
        let mut state = EvaluationState::new(self, samples, &clean, victim.gradient_precision(), randomised);
        if let Some(saved) = saved {
            state.check(&saved, stages.len(), samples)?;
            state = saved;
            // The logits of the first start: targets and records stay the same to the bit.
            clean = clean.with_logits(state.clean.clone());
        }
        go_on(observer.started(&state))?;

        let mut course = Course::new(samples, &clean, begin, stages.len());
        for (number, attack) in stages.iter().enumerate() {
            let name = attack.name();
            let mut stage = StageReport {
                attack: name.clone(),
                robust: 0,
                seconds: 0.0,
                forwards: 0,
                backwards: 0,
                verification: Verification::default(),
            };
            let attacked = course.begin_stage(&**attack, &stages[number + 1..], clean.classes());
            for outcome in state.outcomes.iter().filter(|outcome| outcome.stage == number) {
                course.take(outcome, &name);
                stage.forwards += outcome.forwards;
                stage.backwards += outcome.backwards;
                stage.verification += outcome.verification;
                stage.seconds = outcome.seconds.max(stage.seconds);
            }
            let (earlier, now) = (stage.seconds, Instant::now());
            let waiting = course.waiting();
            let mut watch = StageResults {
                course: &mut course,
                observer,
                stage: &mut stage,
                threat: self.config.threat,
                earlier,
                begin: now,
            };
            let stages: Vec<Stage<'_>> = replicas
                .iter()
                .map(|Replica { victim, device }| Stage {
                    attack: &**attack,
                    victim: *victim,
                    device,
                    samples,
                    clean: &clean,
                    rule: self.verification_rule(),
                })
                .collect();
            workers::drive(&stages, &waiting, &mut watch)?;
            stage.robust = course.standing();
            stage.seconds = earlier + now.elapsed().as_secs_f64();
            total += Cost { forwards: stage.forwards, backwards: stage.backwards };
            let broken = attacked - stage.robust;
            let alone = number == 0 || self.config.attacks[number] != AttackKind::Square;
            if !alone && broken as f64 > SQUARE_EFFECTIVE * samples.len() as f64 {
                warnings.push(Warning::SquareEffective { samples: broken, of: samples.len() });
            }
            if stage.verification.refuted() > 0 && !state.randomised {
                warnings.push(Warning::Refuted { attack: name, verification: stage.verification });
            }
            course.end_stage(stage);
        }
        Ok(course.finish(self, warnings, total))
    }
}

fn go_on(flow: ControlFlow<()>) -> Result<(), AttackError> {
    if flow.is_break() { Err(AttackError::Stopped) } else { Ok(()) }
}

/// Passes on what a stage finds out.
struct StageResults<'a, 'b> {
    course: &'a mut Course<'b>,
    observer: &'a mut dyn Observer,
    stage: &'a mut StageReport,
    threat: ThreatModel,
    earlier: f64,
    begin: Instant,
}

impl Results for StageResults<'_, '_> {
    fn completed(&mut self, completed: Completed) -> Result<(), AttackError> {
        let Completed { index, image, finding, tally } = completed;
        let outcome = Outcome {
            stage: self.course.stage(),
            sample: index,
            distance: finding.fooled.then(|| self.threat.distance(&image, &finding.point)),
            adversarial: finding.fooled.then_some(finding.point),
            forwards: tally.cost.forwards,
            backwards: tally.cost.backwards,
            verification: tally.verification,
            seconds: self.earlier + self.begin.elapsed().as_secs_f64(),
        };
        self.stage.forwards += outcome.forwards;
        self.stage.backwards += outcome.backwards;
        self.stage.verification += outcome.verification;
        self.course.take(&outcome, &self.stage.attack);
        go_on(self.observer.outcome(&outcome))
    }

    fn progressed(&mut self, calls: u64, under_way: u64) -> Result<(), AttackError> {
        self.course.count(calls);
        go_on(self.observer.progress(&self.course.progress(&self.stage.attack, under_way)))
    }
}

use std::collections::VecDeque;

use burn::tensor::Device;
use rayon::prelude::*;

use super::attack::Attack;
use super::batch::SMALLEST_PART;
use super::claims::{Claim, Claims};
use super::finding::RunSelection;
use super::lanes::Lanes;
use super::sample::Sample;
use super::slot::Slot;
use super::task::{Completed, Results, Task, Waiting};
use super::verification::VerificationRule;
use crate::error::AttackError;
use crate::model::classifier::Classifier;
use crate::model::clean::{CleanLogits, read_logits};
use crate::samples::source::SampleStream;

/// One attack on one set of samples. Epsilon is positive.
pub(crate) struct Stage<'a> {
    pub(crate) attack: &'a dyn Attack,
    pub(crate) victim: &'a (dyn Classifier + Sync),
    /// The device of the victim.
    pub(crate) device: &'a Device,
    pub(crate) samples: &'a SampleStream<'a>,
    pub(crate) clean: &'a CleanLogits,
    /// The rule that decides whether a claim counts.
    pub(crate) rule: VerificationRule,
    /// The number of earlier stages with the same attack name and threat model. It makes their random draws differ.
    pub(crate) occurrence: usize,
}

impl<'a> Stage<'a> {
    /// Attacks the surviving samples, whose indices are `standing`, and passes each result to `results` as soon as it
    /// is known.
    pub(crate) fn drive(&self, standing: &[usize], results: &mut dyn Results) -> Result<(), AttackError> {
        let calls = self.concurrent_calls(self.samples.concurrent_calls(self.device));
        self.drive_waiting(&Waiting::new(standing), self.samples.batch_size(), calls, results)
    }

    /// The number of batches in flight on the device. It is one if passes are repeated for a randomised model, so that
    /// the model draws its random numbers in the same order each time.
    pub(super) fn batches_in_flight(&self) -> usize {
        if self.attack.eot() > 1 { 1 } else { self.samples.batches_in_flight(self.device) }
    }

    /// The number of repeated passes over a batch that are queued on the device before their logits are read. They take
    /// the memory of as many batches in flight; with repeated passes, there is only one.
    pub(super) fn passes_per_read(&self) -> usize {
        self.samples.batches_in_flight(self.device)
    }

    /// The number of model calls that are made at the same time if `wanted` are possible. It is one if passes are
    /// repeated, for the same reason.
    pub(crate) fn concurrent_calls(&self, wanted: usize) -> usize {
        if self.attack.eot() > 1 { 1 } else { wanted }
    }

    /// Attacks samples that other workers may take too, with at most `calls` concurrent model calls.
    ///
    /// At most `places` samples are under attack at a time. They need not be at the same iteration, or even in the same
    /// run, so a slot is never idle while a sample is waiting.
    pub(crate) fn drive_waiting(
        &self,
        waiting: &Waiting,
        places: usize,
        calls: usize,
        results: &mut dyn Results,
    ) -> Result<(), AttackError> {
        let (runs, selection) = (self.attack.runs(self.clean.classes()), self.attack.run_selection());
        // More calls than parts of a batch make no difference.
        let lanes = Lanes::new(calls.min(places.div_ceil(SMALLEST_PART)));
        let mut slots: Vec<Slot<'a>> = Vec::new();
        let mut claims = Claims::default();
        // Samples that have runs left.
        let mut again: VecDeque<Task> = VecDeque::new();
        loop {
            let old = again.len().min(places - slots.len());
            let new = waiting.take(places - slots.len() - old);
            let images = self.samples.load_all(&new)?;
            self.clean.check_unchanged(self.samples.source(), &new, &images)?;
            let mut tasks: Vec<Task> = again.drain(..old).collect();
            tasks.extend(new.into_iter().zip(images).map(|(index, image)| Task::new(index, image)));
            slots.par_extend(tasks.into_par_iter().map(|task| self.begin(task)));
            let idle = slots.is_empty();
            if idle && claims.is_empty() {
                return Ok(());
            }
            let images = self.run_queries(&mut slots, &lanes)?;
            let (waiting_slots, finished): (Vec<_>, Vec<_>) =
                slots.into_iter().partition(|slot| slot.need().is_some());
            slots = waiting_slots;
            let mut ended = Vec::new();
            for slot in finished {
                let (mut task, run) = slot.end();
                task.run += 1;
                let (target, finding) = run?;
                ended.extend(claims.take(self, task, target, finding));
            }
            let mut due = claims.due(places, idle);
            let fresh = self.verify(&mut due, &lanes)?;
            ended.extend(due.into_iter().map(|claim| claim.settle(self)));
            for (mut task, finding) in ended {
                task.success |= finding.fooled;
                if finding.fooled && selection == RunSelection::Strongest {
                    task.adversarial.get_or_insert_with(|| finding.point.clone());
                }
                let finding = selection.combine(task.best.take(), finding);
                let settled = finding.fooled && selection == RunSelection::FirstFooled;
                if settled || task.run >= runs {
                    let Task { index, image, tally, success, adversarial, .. } = task;
                    let adversarial = if finding.fooled { Some(finding.point.clone()) } else { adversarial };
                    results.completed(Completed { index, image, finding, success, adversarial, tally })?;
                } else {
                    task.best = Some(finding);
                    again.push_back(task);
                }
            }
            let tasks = slots.iter().map(|slot| &slot.task).chain(&again);
            let under_way: u64 = tasks.map(|task| task.tally.cost.forwards).sum();
            results.progressed(images + fresh, under_way + claims.forwards())?;
        }
    }

    /// Begins the next run on a sample.
    fn begin(&self, task: Task) -> Slot<'a> {
        let (source, index) = (self.samples.source(), task.index);
        let restart = task.run / self.attack.targets().runs(self.clean.classes());
        let sample = Sample {
            id: source.id(index),
            image: task.image.clone(),
            shape: source.image_shape(),
            label: source.label(index),
            target: source.target(index),
            // From the same point, every restart would repeat the first run.
            start: if restart == 0 { source.start(index) } else { None },
            clean: self.clean.row(index),
            run: task.run,
            occurrence: self.occurrence,
            restart,
            malt_order: task.malt_order.clone(),
        };
        Slot::begin(task, self.attack, sample)
    }

    /// Runs the images of claims through the model again. Returns the number of images that went through the model.
    fn verify(&self, claims: &mut [Claim], lanes: &Lanes) -> Result<u64, AttackError> {
        let part = claims.len().div_ceil(lanes.count()).max(SMALLEST_PART);
        let jobs = claims.chunks_mut(part).map(|part| || self.fresh_passes(part)).collect();
        lanes.run(jobs).into_iter().sum()
    }

    /// Makes the fresh passes over one part of the claims.
    fn fresh_passes(&self, claims: &mut [Claim]) -> Result<u64, AttackError> {
        let ids: Vec<u64> = claims.iter().map(|claim| self.samples.source().id(claim.task.index)).collect();
        let pixels: Vec<f32> = claims.iter().flat_map(|claim| claim.point()).copied().collect();
        let images = self.samples.upload_to(pixels, self.device);
        for _ in 0..self.rule.fresh_draws {
            let logits = read_logits(self.victim.logits(images.clone()).inner(), &ids)?;
            for (claim, logits) in claims.iter_mut().zip(logits.chunks(self.clean.classes())) {
                let label = self.samples.source().label(claim.task.index);
                claim.judge(self.attack.criterion(), label, logits);
            }
        }
        Ok((claims.len() * self.rule.fresh_draws) as u64)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use burn::tensor::{Tensor, TensorData};

    use super::*;
    use crate::engine::attack::Attempt;
    use crate::engine::finding::Finding;
    use crate::engine::query::Model;
    use crate::engine::targets::Targets;
    use crate::engine::task::Cost;
    use crate::norms::norm::Norm;
    use crate::norms::threat_model::ThreatModel;
    use crate::samples::in_memory::Samples;

    pub(in crate::engine) fn threat() -> ThreatModel {
        ThreatModel::new(Norm::Linf, 0.1).unwrap()
    }

    /// Images of one row, with the label 0.
    pub(in crate::engine) fn samples<const N: usize>(images: &[[f32; N]]) -> Samples {
        let data = TensorData::new(images.concat(), [images.len(), 1, 1, N]);
        Samples::new(Tensor::from_data(data, &Device::flex()), vec![0; images.len()]).unwrap()
    }

    /// The brightest of the pixels is the class.
    pub(in crate::engine) fn brightest(images: Tensor<4>) -> Tensor<2> {
        images.flatten::<2>(1, 3)
    }

    /// Creates a stage for each of these models. The clean logits are those of [`brightest`].
    pub(in crate::engine) fn with_stages<T>(
        attack: &dyn Attack,
        victims: &[&(dyn Classifier + Sync)],
        samples: &Samples,
        rule: VerificationRule,
        work: impl FnOnce(&[Stage<'_>]) -> T,
    ) -> T {
        let (device, stream) = (samples.device(), samples.stream());
        let clean = CleanLogits::compute(&brightest, &stream).unwrap();
        let stages: Vec<Stage<'_>> = victims
            .iter()
            .map(|&victim| Stage {
                attack,
                victim,
                device,
                samples: &stream,
                clean: &clean,
                rule,
                occurrence: 0,
            })
            .collect();
        work(&stages)
    }

    /// Collects the results, and checks that the progress counts every image that goes through the model.
    #[derive(Default)]
    struct Collected {
        completed: Vec<Completed>,
        images: u64,
    }

    impl Results for Collected {
        fn completed(&mut self, completed: Completed) -> Result<(), AttackError> {
            self.completed.push(completed);
            Ok(())
        }

        fn progressed(&mut self, images: u64, under_way: u64) -> Result<(), AttackError> {
            self.images += images;
            let finished: u64 = self.completed.iter().map(|completed| completed.tally.cost.forwards).sum();
            assert_eq!(self.images, finished + under_way);
            Ok(())
        }
    }

    /// Attacks all samples.
    pub(in crate::engine) fn drive(
        attack: &dyn Attack,
        victim: &(dyn Classifier + Sync),
        samples: &Samples,
        rule: VerificationRule,
    ) -> Vec<Completed> {
        let standing: Vec<usize> = (0..samples.len()).collect();
        let mut collected = Collected::default();
        with_stages(attack, &[victim], samples, rule, |stages| stages[0].drive(&standing, &mut collected))
            .unwrap();
        collected.completed
    }

    /// Queries up to four gradients, depending on the sample, and claims the clean image.
    #[derive(Debug)]
    struct FalseClaims {
        eot: usize,
    }

    impl Attack for FalseClaims {
        fn name(&self) -> String {
            "false-claims".to_owned()
        }

        fn threat_model(&self) -> ThreatModel {
            threat()
        }

        fn targets(&self) -> Targets {
            Targets::Top(2)
        }

        fn restarts(&self) -> usize {
            3
        }

        fn eot(&self) -> usize {
            self.eot
        }

        fn passes(&self, _classes: usize) -> u64 {
            4
        }

        fn attack<'a>(&'a self, sample: Sample<'a>, mut model: Model) -> Attempt<'a> {
            Box::pin(async move {
                // Each restart has a run for each of the two targets.
                assert_eq!(sample.restart, sample.run / 2);
                for _ in 0..sample.id % 4 {
                    model.gradient(&sample.image, |_, _| 0.0).await;
                }
                let last = model.gradient(&sample.image, |_, _| 0.0).await;
                Ok(Finding { fooled: true, ..last.finding_at(sample.image.to_vec()) })
            })
        }
    }

    /// The results of this attack, and the number of images in the largest call of the model.
    fn false_claims(eot: usize, samples: &Samples, rule: VerificationRule) -> (Vec<Completed>, usize) {
        let largest = AtomicUsize::new(0);
        let victim = |images: Tensor<4>| {
            largest.fetch_max(images.dims()[0], Ordering::Relaxed);
            brightest(images)
        };
        let completed = drive(&FalseClaims { eot }, &victim, samples, rule);
        (completed, largest.into_inner())
    }

    #[test]
    fn every_image_is_counted_and_no_call_has_more_than_a_batch() {
        let samples = samples(&[[0.9, 0.2, 0.1]; 10]).with_batch_size(3).unwrap();
        let (completed, largest) = false_claims(3, &samples, VerificationRule::majority_of(5));
        assert_eq!((completed.len(), largest), (10, 3));
        for Completed { index, tally, .. } in completed {
            // In each of six runs, gradients of three passes each, and five fresh passes.
            let gradients = 6 * (1 + index as u64 % 4);
            let cost = Cost { forwards: 3 * gradients + 6 * 5, backwards: 3 * gradients };
            assert_eq!((tally.cost, tally.verification.not_misclassified), (cost, 6), "{index}");
        }
    }

    #[test]
    fn a_batch_is_split_into_concurrent_calls_unless_passes_are_repeated() {
        let samples = samples(&[[0.9, 0.2, 0.1]; 16]).with_concurrent_calls(2);
        for (eot, expected) in [(1, 8), (3, 16)] {
            assert_eq!(false_claims(eot, &samples, VerificationRule::default()).1, expected, "{eot} passes");
        }
        // Threads for all of these calls could not be created.
        let most = samples.with_concurrent_calls(usize::MAX);
        assert_eq!(false_claims(1, &most, VerificationRule::default()).1, 8);
    }

    /// Succeeds in each of three runs, whose losses differ.
    #[derive(Debug)]
    struct Successes {
        selection: RunSelection,
    }

    impl Attack for Successes {
        fn name(&self) -> String {
            "successes".to_owned()
        }

        fn threat_model(&self) -> ThreatModel {
            threat()
        }

        fn restarts(&self) -> usize {
            3
        }

        fn run_selection(&self) -> RunSelection {
            self.selection
        }

        fn passes(&self, _classes: usize) -> u64 {
            0
        }

        fn attack<'a>(&'a self, sample: Sample<'a>, _model: Model) -> Attempt<'a> {
            let (point, loss) = (vec![0.5, 0.55], [-3.0, -1.0, -2.0][sample.run]);
            Box::pin(std::future::ready(Ok(Finding { logits: point.clone(), point, fooled: true, loss })))
        }
    }

    /// Its first run may succeed. Its second run ends at a stronger point, which fails.
    #[derive(Debug)]
    struct StrongerFailure {
        first_succeeds: bool,
    }

    impl Attack for StrongerFailure {
        fn name(&self) -> String {
            "stronger-failure".to_owned()
        }

        fn threat_model(&self) -> ThreatModel {
            threat()
        }

        fn restarts(&self) -> usize {
            2
        }

        fn run_selection(&self) -> RunSelection {
            RunSelection::Strongest
        }

        fn passes(&self, _classes: usize) -> u64 {
            0
        }

        fn attack<'a>(&'a self, sample: Sample<'a>, _model: Model) -> Attempt<'a> {
            let fooled = self.first_succeeds && sample.run == 0;
            let point = if fooled { vec![0.5, 0.55] } else { vec![0.55, 0.5] };
            let loss = [1.0, 2.0][sample.run];
            Box::pin(std::future::ready(Ok(Finding { logits: point.clone(), point, fooled, loss })))
        }
    }

    #[test]
    fn a_success_counts_and_a_stronger_failure_does_not() {
        let samples = samples(&[[0.55, 0.5]]);
        for first_succeeds in [true, false] {
            let attack = StrongerFailure { first_succeeds };
            let found = drive(&attack, &brightest, &samples, VerificationRule::default()).remove(0);
            assert_eq!((found.finding.fooled, found.finding.loss), (false, 2.0));
            let adversarial = first_succeeds.then(|| vec![0.5, 0.55]);
            assert_eq!((found.success, found.adversarial), (first_succeeds, adversarial));
        }
    }

    #[test]
    fn the_first_success_ends_an_attack_unless_its_runs_are_compared() {
        let samples = samples(&[[0.55, 0.5]]);
        for (selection, runs, loss) in [
            (RunSelection::FirstFooled, 1, -3.0),
            (RunSelection::Strongest, 3, -1.0),
            (RunSelection::StrongestSuccess, 3, -1.0),
        ] {
            let completed =
                drive(&Successes { selection }, &brightest, &samples, VerificationRule::default());
            let [Completed { finding, tally, .. }] = &completed[..] else { panic!("one sample") };
            assert_eq!((tally.verification.claimed, finding.loss), (runs, loss), "{selection:?}");
        }
    }
}

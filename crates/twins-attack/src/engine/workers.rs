use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rayon::ThreadPoolBuilder;

use super::stage::Stage;
use super::task::{Completed, Results, Waiting};
use crate::error::AttackError;

/// Drives one attack on several replicas of the model at a time. Each replica takes the next of the surviving samples
/// when it has room. `results` is called in the caller's thread.
///
/// Each batch in flight has a worker: a thread, and a pool with its part of the cores. A thread that waits for its own
/// work must not pick up the work of another worker, which could wait for a lock that the thread holds. A replica on a
/// GPU has two workers, so that the host prepares and evaluates one batch while the device computes the other.
///
/// The first failure ends all workers and is the result. `results` is not called after it. A panic of a worker, such as
/// that of a model, is resumed in the caller's thread after the other workers have ended.
pub(crate) fn drive(
    replicas: &[Stage<'_>],
    standing: &[usize],
    results: &mut dyn Results,
) -> Result<(), AttackError> {
    let stages = workers_in_turns(replicas, |stage| stage.batches_in_flight().min(standing.len()));
    let first = &replicas[0];
    let workers = stages.len().min(standing.len());
    if workers < 2 {
        return first.drive(standing, results);
    }
    let per_worker = |whole: usize| (whole / workers).max(1);
    let threads = per_worker(rayon::current_num_threads());
    // A stage with fewer samples than a batch is also divided among the workers.
    let places = first.samples.batch_size().min(standing.len().div_ceil(workers));
    let waiting = Waiting::new(standing);
    let stop = AtomicBool::new(false);
    let (sender, events) = channel();
    thread::scope(|scope| {
        let mut threads_of_workers = Vec::with_capacity(workers);
        for (worker, stage) in stages[..workers].iter().enumerate() {
            let mut reporter = Reporter { worker, sender: sender.clone(), stop: StopOnPanic(&stop) };
            let waiting = &waiting;
            let calls = stage.concurrent_calls(per_worker(stage.samples.concurrent_calls(stage.device)));
            threads_of_workers.push(scope.spawn(move || {
                let mut run = || stage.drive_waiting(waiting, places, calls, &mut reporter);
                // If the pool cannot be created, the worker's own thread does the work.
                let outcome = match ThreadPoolBuilder::new().num_threads(threads).build() {
                    Ok(pool) => pool.install(run),
                    Err(_) => run(),
                };
                if let Err(error) = outcome {
                    reporter.send(Event::Failed(error));
                }
            }));
        }
        drop(sender);
        // The scope waits for the workers, also if `results` panics.
        let _stop_on_panic = StopOnPanic(&stop);
        let mut under_way = vec![0; workers];
        let mut outcome = Ok(());
        for event in events {
            // After a failure, wait for the other workers to end.
            if outcome.is_err() {
                continue;
            }
            outcome = match event {
                Event::Completed(completed) => results.completed(completed),
                Event::Progressed { worker, images, costs } => {
                    under_way[worker] = costs;
                    results.progressed(images, under_way.iter().sum())
                }
                Event::Failed(error) => Err(error),
            };
            if outcome.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        for worker in threads_of_workers {
            // The scope itself would replace the message of the panic by one that says nothing of its cause.
            if let Err(cause) = worker.join() {
                std::panic::resume_unwind(cause);
            }
        }
        outcome
    })
}

/// The replicas of the workers, one worker per batch in flight. The first worker of every replica comes first, then the
/// second of every replica, and so on, so that a few samples are spread over all replicas.
fn workers_in_turns<R>(replicas: &[R], batches_in_flight: impl Fn(&R) -> usize) -> Vec<&R> {
    let batches_in_flight = &batches_in_flight;
    let most = replicas.iter().map(batches_in_flight).max().unwrap_or(0);
    let turn = |turn| replicas.iter().filter(move |replica| turn < batches_in_flight(replica));
    (0..most).flat_map(turn).collect()
}

/// An event that a worker reports.
enum Event {
    Completed(Completed),
    Progressed { worker: usize, images: u64, costs: u64 },
    Failed(AttackError),
}

/// A worker's end of the channel.
struct Reporter<'a> {
    worker: usize,
    sender: Sender<Event>,
    stop: StopOnPanic<'a>,
}

impl Reporter<'_> {
    fn send(&self, event: Event) {
        // The receiver exists until every sender is gone.
        let _ = self.sender.send(event);
    }

    fn check_stop(&self) -> Result<(), AttackError> {
        if self.stop.0.load(Ordering::Relaxed) { Err(AttackError::Stopped) } else { Ok(()) }
    }
}

impl Results for Reporter<'_> {
    fn completed(&mut self, completed: Completed) -> Result<(), AttackError> {
        self.check_stop()?;
        self.send(Event::Completed(completed));
        Ok(())
    }

    fn progressed(&mut self, images: u64, under_way: u64) -> Result<(), AttackError> {
        self.check_stop()?;
        self.send(Event::Progressed { worker: self.worker, images, costs: under_way });
        Ok(())
    }
}

/// Stops all workers if its owner panics: a model that panics ends the evaluation.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::RecvTimeoutError;
    use std::time::Duration;

    use burn::tensor::Tensor;

    use super::*;
    use crate::draws::Draws;
    use crate::engine::attack::{Attack, Attempt};
    use crate::engine::query::Model;
    use crate::engine::sample::Sample;
    use crate::engine::stage::tests::{brightest, samples, threat, with_stages};
    use crate::engine::verification::VerificationRule;
    use crate::model::classifier::Classifier;
    use crate::norms::threat_model::ThreatModel;
    use crate::samples::in_memory::Samples;

    /// Queries the model once, and as many more times as this function of the sample's number returns.
    #[derive(Debug)]
    struct Queries(fn(u64) -> u64);

    /// The samples of a batch end at different times.
    const ONE_TO_FIVE: Queries = Queries(|id| id % 5);

    impl Attack for Queries {
        fn name(&self) -> String {
            "queries".to_owned()
        }

        fn threat_model(&self) -> ThreatModel {
            threat()
        }

        fn uses_gradients(&self) -> bool {
            false
        }

        fn passes(&self, _classes: usize) -> u64 {
            5
        }

        fn attack<'a>(&'a self, sample: Sample<'a>, mut model: Model) -> Attempt<'a> {
            Box::pin(async move {
                for _ in 0..(self.0)(sample.id) {
                    model.logits(&sample.image).await;
                }
                Ok(model.logits(&sample.image).await.finding_at(sample.image.to_vec()))
            })
        }
    }

    /// How often each sample was completed. Fails at the last allowed completion.
    struct Counted {
        completions: Vec<usize>,
        allowed: usize,
        failed: bool,
    }

    impl Counted {
        fn new(allowed: usize) -> Self {
            Self { completions: vec![0; SAMPLES], allowed, failed: false }
        }
    }

    impl Results for Counted {
        fn completed(&mut self, completed: Completed) -> Result<(), AttackError> {
            assert!(!self.failed, "a result after the failure");
            self.completions[completed.index] += 1;
            self.allowed -= 1;
            self.failed = self.allowed == 0;
            if self.failed { Err(AttackError::Stopped) } else { Ok(()) }
        }

        fn progressed(&mut self, _images: u64, _under_way: u64) -> Result<(), AttackError> {
            assert!(!self.failed, "progress after the failure");
            Ok(())
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fault {
        None,
        /// The logits of one call are not finite.
        Logits,
        /// One call panics.
        Panic,
        /// The receiver of the results ends the evaluation.
        Results,
    }

    const SAMPLES: usize = 64;
    const WORKERS: usize = 6;

    fn many() -> Samples {
        samples(&[[0.9, 0.1]; SAMPLES]).with_batch_size(3).unwrap()
    }

    /// Attacks the samples on one replica for each of these models.
    fn attacked(
        attack: &Queries,
        victims: &[&(dyn Classifier + Sync)],
        samples: &Samples,
        results: &mut dyn Results,
    ) -> Result<(), AttackError> {
        let standing: Vec<usize> = (0..SAMPLES).collect();
        let rule = VerificationRule::default();
        with_stages(attack, victims, samples, rule, |replicas| drive(replicas, &standing, results))
    }

    /// Attacks the samples on several replicas, one of whose calls fails.
    fn trial(fault: Fault, draws: &mut Draws) {
        // 64 samples with three queries each on average are at least 64 calls.
        let (failing, allowed) = (draws.below(60), 1 + draws.below(SAMPLES));
        let calls = AtomicUsize::new(0);
        let victim = |x: Tensor<4>| {
            let logits = brightest(x);
            match (calls.fetch_add(1, Ordering::Relaxed) == failing, fault) {
                (true, Fault::Logits) => logits * f32::NAN,
                (true, Fault::Panic) => panic!("out of memory in call {failing}"),
                _ => logits,
            }
        };
        let victims: [&(dyn Classifier + Sync); WORKERS] = [&victim; WORKERS];
        let mut counted = Counted::new(if fault == Fault::Results { allowed } else { usize::MAX });
        let attack = || attacked(&ONE_TO_FIVE, &victims, &many(), &mut counted);
        let outcome = catch_unwind(AssertUnwindSafe(attack));
        let most = *counted.completions.iter().max().unwrap();
        assert!(most <= 1, "{fault:?}: a sample was completed {most} times");
        match (fault, outcome) {
            (Fault::None, Ok(Ok(()))) => {
                let lost = counted.completions.iter().filter(|completions| **completions == 0).count();
                assert_eq!(lost, 0, "samples were lost");
            }
            // The error is the cause, not the end of another worker because of it.
            (Fault::Logits, Ok(Err(AttackError::Logits { .. }))) => {}
            (Fault::Results, Ok(Err(AttackError::Stopped))) => {
                assert_eq!(counted.completions.iter().sum::<usize>(), allowed);
            }
            (Fault::Panic, Err(cause)) => {
                let message = cause.downcast::<String>().expect("the message of the model");
                assert_eq!(*message, format!("out of memory in call {failing}"));
            }
            (fault, Ok(outcome)) => panic!("{fault:?}: {outcome:?}"),
            (fault, Err(_)) => panic!("{fault:?}: a panic"),
        }
    }

    #[test]
    fn no_sample_is_lost_or_doubled_and_the_first_failure_is_the_result() {
        // A trial takes milliseconds. The limit is for a deadlock, which would last for ever.
        const LIMIT: Duration = Duration::from_secs(120);
        let (running, ended) = channel::<()>();
        let trials = thread::spawn(move || {
            let mut draws = Draws::new(11, 0, "faults", 0);
            for _ in 0..15 {
                for fault in [Fault::None, Fault::Logits, Fault::Panic, Fault::Results] {
                    trial(fault, &mut draws);
                }
            }
            drop(running);
        });
        // Nothing is ever sent: the channel closes when the trials end, also by a panic.
        assert_eq!(ended.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected), "deadlock");
        trials.join().unwrap();
    }

    #[test]
    fn a_failure_of_one_worker_stops_the_others() {
        // The other worker makes far fewer calls until then. So many would take a minute.
        const MANY: usize = 1_000_000;
        for fault in [Fault::Logits, Fault::Panic] {
            let calls = AtomicUsize::new(0);
            let failing = |images: Tensor<4>| {
                assert!(fault == Fault::Logits, "out of memory");
                brightest(images) * f32::NAN
            };
            let endless = |images: Tensor<4>| {
                assert!(calls.fetch_add(1, Ordering::Relaxed) < MANY, "the worker has not been stopped");
                brightest(images)
            };
            let mut counted = Counted::new(usize::MAX);
            let attack = || attacked(&Queries(|_| u64::MAX), &[&failing, &endless], &many(), &mut counted);
            let outcome = catch_unwind(AssertUnwindSafe(attack));
            assert!(calls.into_inner() < MANY, "{fault:?}: the worker has not been stopped");
            match outcome {
                Ok(outcome) => assert!(matches!(outcome, Err(AttackError::Logits { .. })), "{outcome:?}"),
                Err(_) => assert_eq!(fault, Fault::Panic),
            }
        }
    }

    #[test]
    fn the_threads_are_divided_among_the_workers() {
        let threads = Mutex::new(Vec::new());
        let victim = |images: Tensor<4>| {
            threads.lock().unwrap().push(rayon::current_num_threads());
            brightest(images)
        };
        let samples = many().with_concurrent_calls(1);
        let mut counted = Counted::new(usize::MAX);
        let pool = ThreadPoolBuilder::new().num_threads(6).build().unwrap();
        pool.install(|| attacked(&ONE_TO_FIVE, &[&victim, &victim], &samples, &mut counted)).unwrap();
        let threads = threads.into_inner().unwrap();
        assert!(threads.iter().all(|&threads| threads == 3), "{threads:?}");
    }

    /// The workers for all of these batches would not fit into memory.
    #[test]
    fn there_are_no_more_workers_than_samples() {
        let samples = samples(&[[0.9, 0.1]; 2]).with_batches_in_flight(usize::MAX);
        let mut counted = Counted::new(usize::MAX);
        let rule = VerificationRule::default();
        with_stages(&ONE_TO_FIVE, &[&brightest], &samples, rule, |replicas| {
            drive(replicas, &[0, 1], &mut counted).unwrap();
        });
        assert_eq!(counted.completions[..3], [1, 1, 0]);
    }

    #[test]
    fn every_replica_has_a_worker_before_one_has_two() {
        // A CPU between two GPUs.
        assert_eq!(workers_in_turns(&[2, 1, 2], |&batches| batches), [&2, &1, &2, &2, &2]);
        let replicas = [("a", 2), ("b", 2)];
        let names: Vec<&str> = workers_in_turns(&replicas, |r| r.1).into_iter().map(|r| r.0).collect();
        assert_eq!(names, ["a", "b", "a", "b"]);
    }
}

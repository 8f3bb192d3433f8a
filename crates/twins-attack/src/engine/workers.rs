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
pub(crate) fn drive(
    replicas: &[Stage<'_>],
    standing: &[usize],
    results: &mut dyn Results,
) -> Result<(), AttackError> {
    let stages = workers_in_turns(replicas, Stage::batches_in_flight);
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
        for (worker, stage) in stages[..workers].iter().enumerate() {
            let mut reporter = Reporter { worker, sender: sender.clone(), stop: &stop };
            let waiting = &waiting;
            let calls = stage.concurrent_calls(per_worker(stage.samples.concurrent_calls(stage.device)));
            scope.spawn(move || {
                let mut run = || stage.drive_waiting(waiting, places, calls, &mut reporter);
                // If the pool cannot be created, the worker's own thread does the work.
                let outcome = match ThreadPoolBuilder::new().num_threads(threads).build() {
                    Ok(pool) => pool.install(run),
                    Err(_) => run(),
                };
                if let Err(error) = outcome {
                    reporter.send(Event::Failed(error));
                }
            });
        }
        drop(sender);
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
    stop: &'a AtomicBool,
}

impl Reporter<'_> {
    fn send(&self, event: Event) {
        // The receiver exists until every sender is gone.
        let _ = self.sender.send(event);
    }

    fn check_stop(&self) -> Result<(), AttackError> {
        if self.stop.load(Ordering::Relaxed) { Err(AttackError::Stopped) } else { Ok(()) }
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

impl Drop for Reporter<'_> {
    fn drop(&mut self) {
        // A model that panics ends the evaluation, so the other workers can stop.
        if thread::panicking() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_replica_has_a_worker_before_one_has_two() {
        // A CPU between two GPUs.
        assert_eq!(workers_in_turns(&[2, 1, 2], |&batches| batches), [&2, &1, &2, &2, &2]);
        let replicas = [("a", 2), ("b", 2)];
        let names: Vec<&str> = workers_in_turns(&replicas, |r| r.1).into_iter().map(|r| r.0).collect();
        assert_eq!(names, ["a", "b", "a", "b"]);
    }
}

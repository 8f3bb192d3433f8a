use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rayon::ThreadPoolBuilder;

use super::stage::Stage;
use super::task::{Completed, Results, Waiting};
use crate::error::AttackError;
use crate::model::caller_device::computes_in_caller;

/// How many batches are in flight on a device with a queue of its own: it computes one while the host is busy with the
/// other.
const BATCHES_IN_FLIGHT: usize = 2;

/// Drives one attack on several replicas of the model at a time, which take up the standing samples as they have room;
/// `results` is called in the caller's thread.
///
/// Each replica has a worker: a thread, and a pool with its part of the cores. A thread that waits for its own work
/// must not take up another replica's, which could wait for a lock that it holds. A replica on a device that computes
/// asynchronously has two workers, unless passes are repeated for the sake of a randomised model.
pub(crate) fn drive(
    replicas: &[Stage<'_>],
    standing: &[usize],
    results: &mut dyn Results,
) -> Result<(), AttackError> {
    let stages: Vec<&Stage<'_>> = replicas.iter().flat_map(|stage| vec![stage; batches(stage)]).collect();
    let first = &replicas[0];
    let workers = stages.len().min(standing.len());
    if workers < 2 {
        return first.drive(standing, results);
    }
    let per_worker = |whole: usize| (whole / workers).max(1);
    let threads = per_worker(rayon::current_num_threads());
    // A small stage is divided too.
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
                // Without threads to spare the work is done all the same.
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
            // The other workers are still to end.
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

/// How many batches of this stage are in flight.
fn batches(stage: &Stage<'_>) -> usize {
    if computes_in_caller(stage.device) || stage.attack.eot() > 1 { 1 } else { BATCHES_IN_FLIGHT }
}

/// What a worker reports.
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
        // The receiver stays until every sender is gone.
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
        // A model that panics ends the evaluation: the others need not go on.
        if thread::panicking() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

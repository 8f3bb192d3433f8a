use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rayon::ThreadPoolBuilder;

use crate::engine::stage::Stage;
use crate::engine::task::{Ended, Waiting, Watch};
use crate::error::AttackError;

/// Drives one attack with several victims at a time, which take up the standing samples as they have room; `watch` is
/// told in the caller's thread.
///
/// Each victim has a thread, and a pool with its share of the cores for what the model would share out: a thread that
/// waits for its own work must not take up another victim's, which could wait for a lock that it holds.
pub(crate) fn drive(
    stages: &[Stage<'_>],
    standing: &[usize],
    watch: &mut dyn Watch,
) -> Result<(), AttackError> {
    let first = &stages[0];
    let shards = stages.len().min(standing.len());
    if shards < 2 {
        return first.drive(standing, watch);
    }
    let share = |whole: usize| (whole / shards).max(1);
    let threads = share(rayon::current_num_threads());
    // A small stage is shared too.
    let places = first.samples.batch_size().min(standing.len().div_ceil(shards));
    let waiting = Waiting::new(standing);
    let stop = AtomicBool::new(false);
    let (sender, told) = channel();
    thread::scope(|scope| {
        for (shard, stage) in stages[..shards].iter().enumerate() {
            let mut teller = Teller { shard, sender: sender.clone(), stop: &stop };
            let waiting = &waiting;
            let calls = stage.concurrent_calls(share(stage.samples.concurrent_calls(stage.device)));
            scope.spawn(move || {
                let mut run = || stage.drive_waiting(waiting, places, calls, &mut teller);
                // Without threads to spare the work is done all the same.
                let outcome = match ThreadPoolBuilder::new().num_threads(threads).build() {
                    Ok(pool) => pool.install(run),
                    Err(_) => run(),
                };
                if let Err(error) = outcome {
                    teller.tell(Told::Failed(error));
                }
            });
        }
        drop(sender);
        let mut under_way = vec![0; shards];
        let mut outcome = Ok(());
        for told in told {
            // The others are still to end.
            if outcome.is_err() {
                continue;
            }
            outcome = match told {
                Told::Finished(ended) => watch.finished(ended),
                Told::Ticked { shard, calls, costs } => {
                    under_way[shard] = costs;
                    watch.ticked(calls, under_way.iter().sum())
                }
                Told::Failed(error) => Err(error),
            };
            if outcome.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        outcome
    })
}

/// What a shard has to tell.
enum Told {
    Finished(Ended),
    Ticked { shard: usize, calls: u64, costs: u64 },
    Failed(AttackError),
}

/// A shard's end of the channel.
struct Teller<'a> {
    shard: usize,
    sender: Sender<Told>,
    stop: &'a AtomicBool,
}

impl Teller<'_> {
    fn tell(&self, told: Told) {
        // Somebody listens until every teller is gone.
        let _ = self.sender.send(told);
    }

    fn go_on(&self) -> Result<(), AttackError> {
        if self.stop.load(Ordering::Relaxed) { Err(AttackError::Stopped) } else { Ok(()) }
    }
}

impl Watch for Teller<'_> {
    fn finished(&mut self, ended: Ended) -> Result<(), AttackError> {
        self.go_on()?;
        self.tell(Told::Finished(ended));
        Ok(())
    }

    fn ticked(&mut self, calls: u64, under_way: u64) -> Result<(), AttackError> {
        self.go_on()?;
        self.tell(Told::Ticked { shard: self.shard, calls, costs: under_way });
        Ok(())
    }
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        // A victim that panics ends the evaluation: the others need not go on.
        if thread::panicking() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

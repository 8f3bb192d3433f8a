use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::thread;

use burn::tensor::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::out_of_memory::{Load, is_connection_lost, remedy};
use crate::error::TrainError;
use crate::random_keys::key;

/// The devices that work in parallel. The first is the main device, which holds the model that is updated.
///
/// If there are several devices, each has a thread pool with an equal number of CPU cores, in which a model
/// parallelises its computation on a CPU. With a common pool, a thread that waits for its own work could start work of
/// another device, which might wait for a lock that the thread holds. A device may be listed several times.
pub(crate) struct Devices {
    list: Vec<Device>,
    /// One pool per device; empty for a single device, or if the system cannot create the threads.
    pools: Vec<ThreadPool>,
}

/// A panic in the work of a device.
#[derive(Debug)]
pub(crate) struct Panicked {
    /// The index of the device, from 0.
    pub(crate) place: usize,
    pub(crate) message: String,
    devices: usize,
}

impl Panicked {
    /// Converts the panic to an error. `work` describes the failed work in words, and `load` what had to fit into
    /// memory.
    pub(crate) fn into_error(self, work: String, load: Load, checkpoint: Option<PathBuf>) -> TrainError {
        let Self { place, message, devices } = self;
        let remedy = remedy(&message, load, devices);
        // Burn's message has several lines, with a backtrace.
        let message = if is_connection_lost(&message) {
            "the connection to the server of a remote device was lost".to_owned()
        } else {
            message
        };
        TrainError::Device { place: place + 1, devices, work, message, remedy, checkpoint }
    }

    fn new(place: usize, devices: usize, payload: Box<dyn Any + Send>) -> Self {
        match message(payload.as_ref()) {
            Some(message) => Self { place, message, devices },
            // The payload does not come from `panic!`, and its meaning is unknown here.
            None => resume_unwind(payload),
        }
    }
}

impl Devices {
    /// Creates the devices from a list of at least one device.
    pub(crate) fn new(list: &[Device]) -> Self {
        let list: Vec<Device> = list.iter().map(|device| device.clone().inner()).collect();
        let threads = (rayon::current_num_threads() / list.len().max(1)).max(1);
        let pool = |_: &Device| ThreadPoolBuilder::new().num_threads(threads).build();
        let pools = match list.len() {
            0 | 1 => Vec::new(),
            _ => list.iter().map(pool).collect::<Result<_, _>>().unwrap_or_default(),
        };
        Self { list, pools }
    }

    pub(crate) fn main(&self) -> &Device {
        &self.list[0]
    }

    pub(crate) fn list(&self) -> &[Device] {
        &self.list
    }

    /// Seeds the random generator of every device, from which layers such as dropout draw. Some devices share one
    /// generator, for instance all handles of a CPU; the last seed then applies to all of them.
    pub(crate) fn seed(&self, draws: u64) {
        for (place, device) in self.list.iter().enumerate() {
            device.seed(key(draws, &[place as u64]));
        }
    }

    /// Runs one job on each of the first `jobs.len()` devices in parallel and returns the results in the order of the jobs.
    /// A single job runs in the caller's thread.
    pub(crate) fn run<T: Send>(&self, jobs: Vec<impl FnOnce() -> T + Send>) -> Result<Vec<T>, Panicked> {
        assert!(jobs.len() <= self.list.len(), "{} jobs for {} devices", jobs.len(), self.list.len());
        if jobs.len() < 2 {
            return jobs.into_iter().map(|job| guard(self.list.len(), job)).collect();
        }
        let outcomes: Vec<thread::Result<T>> = thread::scope(|scope| {
            let started: Vec<_> = jobs
                .into_iter()
                .enumerate()
                .map(|(place, job)| {
                    scope.spawn(move || match self.pools.get(place) {
                        Some(pool) => pool.install(job),
                        None => job(),
                    })
                })
                .collect();
            started.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        outcomes
            .into_iter()
            .enumerate()
            .map(|(place, outcome)| outcome.map_err(|payload| Panicked::new(place, self.list.len(), payload)))
            .collect()
    }
}

/// Runs work in the caller's thread and reports a panic as one of the main device, of `devices` devices. The caller must
/// drop everything that the panic may have left in an inconsistent state.
pub(crate) fn guard<T>(devices: usize, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panicked::new(0, devices, payload))
}

fn message(payload: &(dyn Any + Send)) -> Option<String> {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn jobs_run_side_by_side_in_their_order() {
        let devices = Devices::new(&[Device::flex(), Device::flex()]);
        let both_here = Barrier::new(2);
        let job = |place: usize| {
            let both_here = &both_here;
            move || {
                both_here.wait();
                place
            }
        };
        assert_eq!(devices.run(vec![job(0), job(1)]).unwrap(), [0, 1]);
    }

    #[test]
    fn a_panic_is_told_with_its_place() {
        let devices = Devices::new(&[Device::flex(), Device::flex()]);
        let job = |place: usize| move || assert_ne!(place, 1, "no memory");
        let Panicked { place, message, .. } = devices.run(vec![job(0), job(1)]).unwrap_err();
        assert!(place == 1 && message.contains("no memory"), "{place}: {message}");
        // So is that of a single job, which has no thread of its own.
        let here = thread::current().id();
        let job = || assert_ne!(thread::current().id(), here, "no memory");
        let Panicked { place, message, .. } = devices.run(vec![job]).unwrap_err();
        assert!(place == 0 && message.contains("no memory"), "{place}: {message}");
    }
}

//! A profile of a network: the time that each kind of operation takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Total time of all calls of one operation with the same sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    /// Number of calls.
    pub calls: usize,
    /// Seconds times the number of cores that the calls could use.
    pub core_seconds: f64,
}

static IS_ON: AtomicBool = AtomicBool::new(false);
static TOTALS: Mutex<BTreeMap<String, Total>> = Mutex::new(BTreeMap::new());

/// Runs `work`, and returns its result and the total times of operations by their names and sizes.
///
/// The operations of this crate are counted, and those that call [`time`]. The measurement covers the whole process: it includes what
/// other threads compute at the same time, and two simultaneous measurements disturb each other.
///
/// ```
/// use burn::nn::conv::Conv2dConfig;
/// use burn::tensor::{Device, Tensor};
/// use burn_flex_conv::{conv2d, profile};
///
/// let device = Device::flex();
/// let layer = Conv2dConfig::new([3, 8], [3, 3]).init(&device);
/// let (output, totals) = profile::measure(|| conv2d(&layer, Tensor::ones([4, 3, 9, 9], &device)));
/// assert_eq!(output.dims(), [4, 8, 7, 7]);
/// assert_eq!(totals["3 → 8, 3 × 3, 7 × 7: convolution"].calls, 1);
/// ```
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, BTreeMap<String, Total>) {
    let take = || std::mem::take(&mut *TOTALS.lock().unwrap_or_else(PoisonError::into_inner));
    take();
    IS_ON.store(true, Ordering::Relaxed);
    let off = Off;
    let result = work();
    drop(off);
    (result, take())
}

/// Ends a measurement when dropped, even if the work panics.
struct Off;

impl Drop for Off {
    fn drop(&mut self) {
        IS_ON.store(false, Ordering::Relaxed);
    }
}

/// Runs `work`, and counts its time under a name during a [`measure`] call.
pub fn time<T>(name: impl FnOnce() -> String, work: impl FnOnce() -> T) -> T {
    if !IS_ON.load(Ordering::Relaxed) {
        return work();
    }
    let start = Instant::now();
    let result = work();
    let core_seconds = start.elapsed().as_secs_f64() * rayon::current_num_threads() as f64;
    let mut totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
    let total = totals.entry(name()).or_default();
    total.calls += 1;
    total.core_seconds += core_seconds;
    result
}

//! Runs attacks on many samples at a time, and verifies the successes that they claim.
//!
//! An [`Attack`](attack::Attack) is asynchronous code for one [`Sample`](sample::Sample) that queries the
//! [`Model`](query::Model) and awaits its responses. A [`Stage`](stage::Stage) polls the attacks on many samples, packs
//! their queries into full batches, and gives the place of a finished sample to the next one.

pub(crate) mod attack;
pub(crate) mod batch;
pub(crate) mod claims;
pub(crate) mod criterion;
pub(crate) mod finding;
pub(crate) mod lanes;
mod malt;
pub(crate) mod query;
pub(crate) mod run;
pub(crate) mod sample;
pub(crate) mod slot;
pub(crate) mod stage;
pub(crate) mod targets;
pub(crate) mod task;
pub(crate) mod verification;
pub(crate) mod workers;

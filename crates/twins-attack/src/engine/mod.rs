//! Runs attacks on many samples at a time, and verifies what they claim.

pub(crate) mod attack;
pub(crate) mod claims;
pub(crate) mod goal;
pub(crate) mod lanes;
pub(crate) mod search;
pub(crate) mod shards;
pub(crate) mod stage;
pub(crate) mod targets;
pub(crate) mod task;
pub(crate) mod verification;

//! Robustness evaluations: sequences of attacks with a report, progress and a journal.

pub(crate) mod autoattack;
pub(crate) mod journal;

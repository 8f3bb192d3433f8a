//! Robustness evaluations with any list of attacks, verification, a report, progress and a journal.

mod attack_list;
pub(crate) mod autoattack;
mod checks;
pub(crate) mod classes;
pub(crate) mod coverage;
pub(crate) mod identity;
pub(crate) mod images;
pub(crate) mod interval;
pub(crate) mod journal;
pub(crate) mod outcome;
pub(crate) mod progress;
mod recorder;
pub(crate) mod replica;
pub(crate) mod report;
pub(crate) mod robustness;
mod run;
pub(crate) mod sample_record;
mod stages;
mod table;
mod threats;
mod verdicts;
pub(crate) mod warning;

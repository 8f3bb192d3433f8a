//! The record that a run writes for its report: `result.json`, next to the trainer's `metrics.jsonl`.

pub(crate) mod command;
pub(crate) mod date;
pub(crate) mod fact;
pub(crate) mod files;
pub(crate) mod provenance;
pub(crate) mod run_record;
pub(crate) mod score;
pub(crate) mod setting;
pub(crate) mod status;

//! The sections of a report. Each is a function from the runs to HTML, which is empty if no run has anything to show in
//! the section.

pub(crate) mod epochs;
pub(crate) mod facts;
pub(crate) mod gallery;
pub(crate) mod layers;
pub(crate) mod per_run;
pub(crate) mod provenance;
pub(crate) mod results;
pub(crate) mod robustness_curves;
pub(crate) mod selection;
pub(crate) mod settings;
pub(crate) mod studies;
pub(crate) mod study_curves;
pub(crate) mod training;
pub(crate) mod wing_drift;

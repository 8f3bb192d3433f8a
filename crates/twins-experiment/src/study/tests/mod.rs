//! Tests of whole studies, without training anything.

mod checks;
mod controls;
mod trainings;

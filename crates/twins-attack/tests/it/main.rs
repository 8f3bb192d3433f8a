//! The integration tests of `twins-attack`, one module per topic.

mod apgd_golden;
mod autoattack;
mod bad_input;
mod batch_norm;
mod batches_in_flight;
mod evaluation;
mod evaluation_memory;
mod extreme_values;
mod fab_golden;
mod inference_form;
mod journal;
mod malt;
mod minimum_norm;
mod minimum_norm_golden;
mod pgd_golden;
mod probability_margin;
mod properties;
mod queries;
mod replicas;
mod stream;
mod verification;

//! A model's parameters and running statistics by path.

mod flattened;
mod non_finite;
mod survey;
mod weights;

pub(crate) use flattened::flattened;
pub(crate) use non_finite::{first_non_finite, in_words};
pub(crate) use survey::{BATCH_NORM, Survey, TWO_WINGS, is_under};
pub use weights::Weights;

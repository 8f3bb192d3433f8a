//! MNIST and Fashion-MNIST in the IDX format.

pub(crate) mod dataset;
mod idx;

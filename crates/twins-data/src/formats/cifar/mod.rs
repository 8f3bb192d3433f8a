//! CIFAR-10 and CIFAR-100 in their binary and Python forms.

pub(crate) mod dataset;
mod python;
pub(crate) mod variant;

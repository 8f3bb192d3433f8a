//! The architectures: their names, their layers, and the entry names of published checkpoints.

pub(crate) mod architecture;
mod convnext;
mod mnist_cnn;
pub(crate) mod name;
pub(crate) mod naming;
mod resnet;
pub(crate) mod shortcuts;
pub(crate) mod spec;

#[cfg(test)]
mod full_size;
#[cfg(test)]
pub(crate) mod golden;

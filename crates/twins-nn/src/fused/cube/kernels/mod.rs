//! The passes as CubeCL kernels.
//!
//! A batch is a matrix here, `[pixels of all samples, channels]`, of which a row begins every so many values: the form in which Burn's
//! convolutions leave it. Its values have the precision `F` and are read and written `N` channels at a time; gamma, beta and the statistics
//! have the precision `P`. All arithmetic is in single precision. Counts and positions of channels are in vectors of `N`.
//!
//! Units along a cube's first axis have neighbouring channels, those along the second have rows.
//!
//! *Lines* are `[5, channels]` and hold, for every channel: centre, scale, shift, 1 / standard deviation, and what the mean is above the
//! centre. The output is (x − centre) · scale + shift.

pub(super) mod backward;
pub(super) mod forward;
mod merge;
pub(super) mod statistics;

/// The form of a cube.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Units {
    /// Units along the channels.
    pub(super) along: u32,
    /// Units across them: a power of two.
    pub(super) across: u32,
}

//! The passes as CubeCL kernels.
//!
//! A batch is a matrix `[pixels of all samples, channels]` here, with a fixed distance between the starts of its rows. This is the layout
//! that Burn's convolutions produce. The values of the batch have the precision `F` and are read and written `N` channels at a time. Gamma,
//! beta and the statistics have the precision `P`. All arithmetic is in single precision. Numbers and positions of channels are counted in
//! vectors of `N` channels.
//!
//! Units along a cube's first axis process neighbouring channels, those along the second axis process different rows.
//!
//! *Lines* are `[5, channels]`. For every channel they hold the centre, the scale, the shift, 1 / standard deviation, and the mean minus
//! the centre. The output is (x − centre) · scale + shift.

pub(super) mod backward;
pub(super) mod forward;
mod merge;
pub(super) mod statistics;

/// The shape of a cube.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Units {
    /// Units along the channels.
    pub(super) along: u32,
    /// Units along the rows: a power of two.
    pub(super) across: u32,
}

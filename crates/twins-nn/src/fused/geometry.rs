/// Sizes of a contiguous `[samples, channels, ...]` tensor: sample-major planes of `space` values each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) samples: usize,
    pub(super) channels: usize,
    pub(super) space: usize,
}

impl Geometry {
    pub(super) fn new(dims: &[usize]) -> Self {
        Self { samples: dims[0], channels: dims[1], space: dims[2..].iter().product() }
    }
}

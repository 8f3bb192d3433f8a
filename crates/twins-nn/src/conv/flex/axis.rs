/// Where image rows and columns go when a padded image is divided into planes, one for each remainder of the position by
/// the stride: values that the kernel meets one after the other then stand side by side.
pub(super) struct Axis {
    pub(super) stride: usize,
    before: usize,
    /// Positions of the image.
    pub(super) size: usize,
    /// Positions of a plane.
    pub(super) planes: usize,
}

impl Axis {
    pub(super) fn new(size: usize, stride: usize, (before, after): (usize, usize)) -> Self {
        Self { stride, before, size, planes: (before + size + after).div_ceil(stride) }
    }

    /// The image positions that one remainder has: the first, and where it stands in the plane.
    pub(super) fn first(&self, remainder: usize) -> (usize, usize) {
        // The first padded position that is not before the image and has the remainder.
        let padded = self.before + (remainder + self.stride - self.before % self.stride) % self.stride;
        (padded - self.before, padded / self.stride)
    }

    /// How many image positions one remainder has.
    pub(super) fn count(&self, remainder: usize) -> usize {
        let (first, _) = self.first(remainder);
        self.size.saturating_sub(first).div_ceil(self.stride)
    }
}

/// Sizes of a convolution with one group and no dilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) channels: usize,
    pub(crate) outputs: usize,
    /// Height and width of the input.
    pub(crate) input: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Number of rows and columns of padding before and after the input.
    pub(crate) before: [usize; 2],
    pub(crate) after: [usize; 2],
}

impl Geometry {
    /// Height and width of the input with the zeros that the kernel reads.
    pub(crate) fn with_padding(&self) -> [usize; 2] {
        let size = self.output_size();
        [0, 1].map(|axis| {
            let met = (size[axis] - 1) * self.stride[axis] + self.kernel[axis];
            met.max(self.before[axis] + self.input[axis])
        })
    }

    /// Height and width of the output.
    pub(crate) fn output_size(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            (self.before[axis] + self.input[axis] + self.after[axis] - self.kernel[axis]) / self.stride[axis]
                + 1
        })
    }
}

/// The values that the sums of a convolution are added to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addend<'a> {
    Nothing,
    /// One value for each output channel.
    Bias(&'a [f32]),
    /// The previous values of the outputs.
    Outputs,
}

impl<'a> Addend<'a> {
    /// The addend for the output channels from `first` on.
    #[inline(always)]
    pub(crate) fn from(self, first: usize) -> Self {
        match self {
            Self::Bias(bias) => Self::Bias(&bias[first..]),
            other => other,
        }
    }

    #[inline(always)]
    pub(crate) fn bias(self) -> Option<&'a [f32]> {
        match self {
            Self::Bias(bias) => Some(bias),
            _ => None,
        }
    }

    #[inline(always)]
    pub(crate) fn is_outputs(self) -> bool {
        matches!(self, Self::Outputs)
    }
}

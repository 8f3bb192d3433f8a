/// What a convolution's sums are added to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addend<'a> {
    Nothing,
    /// A value for each output channel.
    Bias(&'a [f32]),
    /// What stands where the outputs go.
    Outputs,
}

impl<'a> Addend<'a> {
    /// That of the output channels from `first` on.
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

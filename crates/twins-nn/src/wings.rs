use burn::tensor::{DType, Tensor};

/// A wing that normalises with given statistics. All tensors are `[channels]`.
pub(crate) struct FixedWing {
    pub(crate) gamma: Tensor<1>,
    pub(crate) beta: Tensor<1>,
    pub(crate) mean: Tensor<1>,
    pub(crate) variance: Tensor<1>,
}

/// A wing that normalises with the batch's own statistics. Both tensors are `[channels]`.
pub(crate) struct BatchWing {
    pub(crate) gamma: Tensor<1>,
    pub(crate) beta: Tensor<1>,
}

/// The wings that a batch goes through.
#[allow(clippy::large_enum_variant)] // Lives for one call.
pub(crate) enum Wings {
    Fixed(FixedWing),
    Batch(BatchWing),
    /// The first ⌊n/2⌋ samples go through the first wing, the rest through the second.
    Split(FixedWing, BatchWing),
}

impl Wings {
    /// The precision of the parameters and statistics, or `None` if they differ.
    pub(crate) fn dtype(&self) -> Option<DType> {
        let fixed = |wing: &FixedWing| {
            let [gamma, others @ ..] =
                [&wing.gamma, &wing.beta, &wing.mean, &wing.variance].map(Tensor::dtype);
            (others == [gamma; 3]).then_some(gamma)
        };
        let batch = |wing: &BatchWing| Some(wing.gamma.dtype()).filter(|dtype| *dtype == wing.beta.dtype());
        match self {
            Self::Fixed(wing) => fixed(wing),
            Self::Batch(wing) => batch(wing),
            Self::Split(first, second) => fixed(first).filter(|dtype| Some(*dtype) == batch(second)),
        }
    }
}

/// The activation that follows the normalisation in the same operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Identity,
    Relu,
}

/// The output of the wings for a batch.
pub(crate) struct Normalised<const D: usize> {
    pub(crate) output: Tensor<D>,
    /// Mean and biased variance of the batch wing's samples, `[channels]`; `None` without a batch wing.
    pub(crate) moments: Option<[Tensor<1>; 2]>,
}

//! The shapes and precisions of the passes' results, which Burn's queue of operations needs before they run.

use burn::backend::fusion::custom::TensorSpec;
use burn::tensor::DType;

use super::{OutputsMetadata, SavedMetadata, launch};
use crate::fused::backend::{
    AffineGradientsMetadata, InputGradientsMetadata, OptionalMetadata, Wanted, WingsMetadata,
};
use crate::wings::Activation;

/// Shapes and precisions of the results of [`Passes::norm_forward`](super::Passes::norm_forward).
pub(super) fn outputs(
    input: &TensorSpec,
    _residual: &OptionalMetadata,
    wings: &WingsMetadata,
    _epsilon: &f64,
    _activation: &Activation,
) -> OutputsMetadata {
    let lines = TensorSpec::new(launch::lines_shape(input.shape[1]), DType::F32);
    let (wing, fixed) = match wings {
        WingsMetadata::Fixed(_) => return OutputsMetadata::Fixed(input.clone()),
        WingsMetadata::Batch(wing) => (wing, OptionalMetadata::None),
        WingsMetadata::Split(_, wing) => (wing, OptionalMetadata::Some(lines.clone())),
    };
    let statistic = &wing.gamma;
    OutputsMetadata::Batch {
        output: input.clone(),
        mean: statistic.clone(),
        variance: statistic.clone(),
        fixed,
        batch: lines,
    }
}

/// Shapes and precisions of the results of [`Passes::norm_backward`](super::Passes::norm_backward).
pub(super) fn gradients(
    gradient: &TensorSpec,
    saved: &SavedMetadata,
    wanted: &Wanted,
) -> InputGradientsMetadata {
    let like = |is_wanted: bool| match is_wanted {
        true => OptionalMetadata::Some(gradient.clone()),
        false => OptionalMetadata::None,
    };
    let affine = |is_wanted: bool| {
        let spec = TensorSpec::new([gradient.shape[1]].into(), saved.parameters);
        match is_wanted {
            true => AffineGradientsMetadata::Some { gamma: spec.clone(), beta: spec },
            false => AffineGradientsMetadata::None,
        }
    };
    InputGradientsMetadata {
        input: like(wanted.input),
        residual: like(wanted.residual),
        fixed: affine(wanted.fixed),
        batch: affine(wanted.batch),
    }
}

use burn::tensor::{GradientCheckpointingStrategy, Tensor};

/// A leaf of the autodiff graph that requires gradients, made from an untracked value: the tensor of a trained parameter.
pub(crate) fn trainable<const D: usize>(
    value: Tensor<D>,
    checkpointing: Option<GradientCheckpointingStrategy>,
) -> Tensor<D> {
    let tracked = Tensor::from_inner(value);
    match checkpointing {
        Some(strategy) => tracked.with_gradient_checkpointing_strategy(strategy),
        None => tracked,
    }
    .require_grad()
}

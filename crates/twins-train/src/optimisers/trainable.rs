use burn::tensor::{GradientCheckpointingStrategy, Tensor};

/// Creates the tensor of a trained parameter from an untracked value: a leaf of the autodiff graph that requires
/// gradients.
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

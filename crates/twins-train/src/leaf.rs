use burn::tensor::{GradientCheckpointingStrategy, Tensor};

/// A tracked leaf that holds an untracked value: what a trained parameter is between steps.
pub(crate) fn leaf<const D: usize>(
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

use burn::tensor::{Int, Tensor};

/// The number of samples that the frozen wing processes in a batch of `n`.
pub(super) fn frozen_part(n: usize) -> usize {
    n / 2
}

/// Splits a tensor along the first axis as the two-wing layers do.
pub(super) fn split<const D: usize>(tensor: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
    let n = tensor.dims()[0];
    let half = frozen_part(n);
    (tensor.clone().narrow(0, 0, half), tensor.narrow(0, half, n - half))
}

/// Splits labels as the two-wing layers split samples.
pub(super) fn split_labels(labels: Tensor<1, Int>) -> (Tensor<1, Int>, Tensor<1, Int>) {
    let n = labels.dims()[0];
    let half = frozen_part(n);
    (labels.clone().narrow(0, 0, half), labels.narrow(0, half, n - half))
}

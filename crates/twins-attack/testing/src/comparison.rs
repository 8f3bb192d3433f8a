use burn::tensor::Tensor;
use twins_attack::Classifier;

/// The values of a tensor, row by row.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

/// How much a logit may change when its image goes through the model in another batch: rounding errors at size 10.
pub const ROUNDING: f32 = 1e-5;

/// `max_{i≠y} z_i - z_y` of each image in a plain forward pass: positive where the model misclassifies it.
pub fn margins(victim: &dyn Classifier, images: Tensor<4>, labels: &[usize]) -> Vec<f32> {
    let logits = victim.logits(images.inner());
    let classes = logits.dims()[1];
    let logits = host(logits);
    let margin = |(z, &y): (&[f32], &usize)| {
        (0..classes).filter(|&i| i != y).map(|i| z[i] - z[y]).fold(f32::NEG_INFINITY, f32::max)
    };
    logits.chunks(classes).zip(labels).map(margin).collect()
}

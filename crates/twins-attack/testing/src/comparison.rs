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

/// The largest absolute difference; NaN if one of the values is NaN, so that no tolerance admits it.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    // Infinite values may be equal.
    let differences = a.iter().zip(b).map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() });
    // `f32::max` would pass over NaN.
    differences.fold(0.0, |most: f32, off: f32| if off > most || off.is_nan() { off } else { most })
}

#[test]
fn the_largest_difference_may_be_none() {
    assert_eq!(difference(&[1.0, 2.0, f32::INFINITY], &[1.5, 1.0, f32::INFINITY]), 1.0);
    assert_eq!(difference(&[f32::INFINITY], &[1.0]), f32::INFINITY);
    assert!(difference(&[f32::NAN, 1.0], &[0.0, 0.0]).is_nan());
    assert!(difference(&[0.0, 1.0], &[1.0, f32::NAN]).is_nan());
}

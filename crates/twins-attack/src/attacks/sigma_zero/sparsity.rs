/// Adds the gradient of the differentiable L0 norm of an offset to `gradient`. The norm is divided by the number of
/// values: `1/d Σ δ² / (δ² + σ)`, with derivative `2 δ σ / (d (δ² + σ)²)`.
///
/// The reference leaves the derivative to automatic differentiation, in which two nearly equal terms cancel. The closed
/// form has a relative error of a few roundings; the error of the reference is 1e-4.
pub(super) fn add_l0_gradient(gradient: &mut [f32], image: &[f32], point: &[f32], sigma: f32) {
    let values = gradient.len() as f32;
    for ((g, &x), &p) in gradient.iter_mut().zip(image).zip(point) {
        let offset = p - x;
        let smoothed = offset * offset + sigma;
        *g += 2.0 * offset * sigma / (smoothed * smoothed) / values;
    }
}

/// Divides the gradient by its largest magnitude.
pub(super) fn normalise(gradient: &mut [f32]) {
    let largest = gradient.iter().fold(0.0, |largest: f32, g| largest.max(g.abs())).max(1e-12);
    gradient.iter_mut().for_each(|g| *g /= largest);
}

/// The threshold after a point. It is higher if the point was adversarial, so that fewer values change, and lower
/// otherwise.
pub(super) fn next_threshold(threshold: f32, step: f32, adversarial: bool) -> f32 {
    (threshold + if adversarial { step } else { -step }).clamp(0.0, 1.0)
}

/// Reverts the changes that are smaller than the threshold.
pub(super) fn drop_small_changes(point: &mut [f32], image: &[f32], threshold: f32) {
    for (p, &x) in point.iter_mut().zip(image) {
        if (*p - x).abs() < threshold {
            *p = x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_changes_are_taken_back() {
        let mut point = [0.75, 0.5, 0.25, 0.625];
        drop_small_changes(&mut point, &[0.5; 4], 0.25);
        assert_eq!(point, [0.75, 0.5, 0.25, 0.5]);
    }

    #[test]
    fn thresholds_stay_between_zero_and_one() {
        assert_eq!(next_threshold(0.5, 0.25, true), 0.75);
        assert_eq!(next_threshold(0.5, 0.25, false), 0.25);
        assert_eq!((next_threshold(0.9, 0.25, true), next_threshold(0.1, 0.25, false)), (1.0, 0.0));
    }

    #[test]
    fn the_largest_value_of_a_gradient_becomes_one() {
        let mut gradient = [0.5, -2.0, 0.0];
        normalise(&mut gradient);
        assert_eq!(gradient, [0.25, -1.0, 0.0]);
        let mut zero = [0.0; 2];
        normalise(&mut zero);
        assert_eq!(zero, [0.0; 2]);
    }

    proptest! {
        #[test]
        fn the_l0_gradient_is_the_derivative(offset in -1.0f64..1.0, sigma in 1e-3f64..1.0) {
            let norm = |d: f64| d * d / (d * d + sigma) / 2.0;
            let step = 1e-6;
            let expected = (norm(offset + step) - norm(offset - step)) / (2.0 * step);
            let mut gradient = [0.0, 3.0];
            add_l0_gradient(&mut gradient, &[0.0, 0.5], &[offset as f32, 0.5], sigma as f32);
            // The derivative is at most 0.65 / √σ / 2 < 11, and its own slope below 1/σ: roundings of the offset and of the
            // result. The central difference is exact to step² times the third derivative, below 1e-12 · 24 / σ² .
            prop_assert!((f64::from(gradient[0]) - expected).abs() < 1e-4, "{} {expected}", gradient[0]);
            prop_assert_eq!(gradient[1], 3.0);
        }
    }
}

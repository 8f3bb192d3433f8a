use crate::norms::norm::Norm;

/// The offset of a point from the clean image plus a step along the gradient, scaled to the length `radius`.
pub(super) fn step_onto_sphere(
    image: &[f32],
    point: &[f32],
    direction: &[f32],
    step_size: f32,
    radius: f32,
) -> Vec<f32> {
    let mut offset: Vec<f32> =
        (point.iter().zip(image).zip(direction)).map(|((&p, &x), &d)| (p - x) + step_size * d).collect();
    // Unlike in the reference, the divisor cannot be zero.
    let length = Norm::L2.length(offset.iter().copied()).max(1e-12);
    offset.iter_mut().for_each(|o| *o *= radius / length);
    offset
}

/// Rounds a value in [0, 1] to the nearest of `levels` equidistant levels. Ties go to the even level.
pub(super) fn quantised(value: f32, levels: usize) -> f32 {
    let steps = (levels - 1) as f32;
    (value * steps).round_ties_even() / steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_on_the_sphere_inwards_and_outwards() {
        let (image, point, direction) = ([0.5, 0.5], [0.75, 0.5], [0.0, 1.0]);
        // The offset (0.25, 0.25 · 4/3) has length 5/12.
        let offset = step_onto_sphere(&image, &point, &direction, 1.0 / 3.0, 5.0);
        assert!((offset[0] - 3.0).abs() < 1e-6 && (offset[1] - 4.0).abs() < 1e-6, "{offset:?}");
        let offset = step_onto_sphere(&image, &point, &direction, 1.0 / 3.0, 0.05);
        assert!((offset[0] - 0.03).abs() < 1e-8 && (offset[1] - 0.04).abs() < 1e-8, "{offset:?}");
    }

    #[test]
    fn a_step_that_leads_back_to_the_image_stays_there() {
        assert_eq!(step_onto_sphere(&[0.5], &[0.75], &[-1.0], 0.25, 1.0), [0.0]);
    }

    #[test]
    fn values_are_rounded_to_levels() {
        assert_eq!(quantised(0.5, 256), 128.0 / 255.0);
        assert_eq!(quantised(0.4, 3), 0.5);
        assert_eq!((quantised(0.25, 3), quantised(0.75, 3)), (0.0, 1.0));
        for level in 0..256 {
            let value = level as f32 / 255.0;
            assert_eq!(quantised(value, 256), value);
        }
    }
}

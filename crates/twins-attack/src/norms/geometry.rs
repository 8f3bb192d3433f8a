use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::draws::Draws;
use crate::error::AttackError;
use crate::norms::norm::Norm;

/// The operations that depend on the norm, besides [`Norm::length`]. The file of each norm implements this trait.
///
/// Vectors are the values of one image. [`ThreatModel`](crate::ThreatModel) documents the operations for users and
/// checks that lengths agree. The batched forms take images `[batch, channels, height, width]`. By default, they read
/// the tensors and work on the host, where sorting the values of an image is cheaper. A norm can override them, and the
/// override must agree with the form for one image, which the tests below check.
pub(crate) trait Geometry: Sync {
    /// The name in command lines and files.
    fn name(&self) -> &'static str;

    /// The name in texts for human readers.
    fn symbol(&self) -> &'static str;

    /// See [`Norm::dual`].
    fn dual(&self) -> Option<Norm>;

    /// Checks a radius that is finite and not negative.
    fn check_epsilon(&self, epsilon: f32) -> Result<(), AttackError>;

    /// How much farther than `epsilon` a point may be and still count as inside, to allow for rounding.
    fn tolerance(&self, epsilon: f32) -> f32;

    /// Moves the point into the ball and the box.
    fn project(&self, origin: &[f32], point: &mut [f32], epsilon: f32);

    /// Draws an offset uniformly from the ball; `None` if it depends on the point that it starts from.
    fn random_offset(&self, _values: usize, _epsilon: f32, _draws: &mut Draws) -> Option<Vec<f32>> {
        None
    }

    /// Draws a point uniformly from the ball, inside the box.
    fn random_start(&self, origin: &[f32], epsilon: f32, draws: &mut Draws) -> Vec<f32> {
        let offset = self.random_offset(origin.len(), epsilon, draws);
        let mut point = offset.expect("norms whose offsets depend on the origin draw starts themselves");
        point.iter_mut().zip(origin).for_each(|(offset, &x)| *offset = (x + *offset).clamp(0.0, 1.0));
        point
    }

    /// Draws one value of unscaled noise, from which attacks build directions.
    fn noise(&self, draws: &mut Draws) -> f32 {
        draws.gaussian()
    }

    /// Writes the direction of steepest ascent. `support` is the number of values that an L1 step changes.
    fn steepest(&self, gradient: &[f32], support: usize, direction: &mut [f32]);

    /// [`Geometry::project`] for each image of a batch.
    fn project_batch(
        &self,
        images: &Tensor<4>,
        points: Tensor<4>,
        epsilon: f32,
    ) -> Result<Tensor<4>, AttackError> {
        let (shape, device) = (images.dims(), images.device());
        let row = values_per_image(shape);
        let clean = images.clone().try_into_vec_as::<f32>()?;
        let mut points = points.try_into_vec_as::<f32>()?;
        let rows = points.par_chunks_mut(row).zip(clean.par_chunks(row));
        rows.for_each(|(point, origin)| self.project(origin, point, epsilon));
        Ok(Tensor::from_data(TensorData::new(points, shape), &device))
    }

    /// [`Geometry::steepest`] for each image of a batch.
    fn steepest_batch(&self, gradient: Tensor<4>, support: usize) -> Result<Tensor<4>, AttackError> {
        let (shape, device) = (gradient.dims(), gradient.device());
        let row = values_per_image(shape);
        let gradient = gradient.try_into_vec_as::<f32>()?;
        let mut directions = vec![0.0; gradient.len()];
        let rows = directions.par_chunks_mut(row).zip(gradient.par_chunks(row));
        rows.for_each(|(direction, gradient)| self.steepest(gradient, support, direction));
        Ok(Tensor::from_data(TensorData::new(directions, shape), &device))
    }
}

/// The length of a row. It is at least 1, because a slice has no chunks of length 0.
fn values_per_image([_, channels, height, width]: [usize; 4]) -> usize {
    (channels * height * width).max(1)
}

/// The sign, with `sign(0) = 0` (Rust's `signum` returns 1 for 0).
pub(super) fn sign(value: f32) -> f32 {
    if value == 0.0 { 0.0 } else { value.signum() }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use proptest::prelude::*;

    use super::*;
    use crate::norms::threat_model::ThreatModel;

    /// Radii that make sense, up to several times the box.
    fn threats() -> impl Strategy<Value = ThreatModel> {
        (prop::sample::select(Norm::ALL.to_vec()), 0.0f32..4.0).prop_map(|(norm, epsilon)| {
            let epsilon = match norm {
                Norm::Linf => epsilon / 4.0,
                Norm::L2 | Norm::L1 => epsilon,
                Norm::L0 => (8.0 * epsilon).floor(),
            };
            ThreatModel::new(norm, epsilon).unwrap()
        })
    }

    /// Shape, clean images, and points or gradients around them, some of whose values are equal to the image or zero.
    fn batches() -> impl Strategy<Value = ([usize; 4], Vec<f32>, Vec<f32>)> {
        [1usize..=4, 1..=3, 1..=6, 1..=6].prop_flat_map(|shape| {
            let n: usize = shape.iter().product();
            let values = prop_oneof![1 => Just(0.0f32), 4 => -2.0f32..3.0];
            (Just(shape), prop::collection::vec(0.0f32..=1.0, n), prop::collection::vec(values, n))
        })
    }

    fn tensor(values: &[f32], shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    /// The batched L2 forms sum up to 108 squares in single precision: a relative error of at most 108 · 6e-8 of the
    /// sum, half of that for the length, and a few roundings more. Values and directions are at most 1. The batched
    /// Linf forms make the same operations value by value, and the others are the forms for one image.
    fn tolerance(norm: Norm) -> f32 {
        match norm {
            Norm::L2 => 5e-6,
            Norm::Linf | Norm::L1 | Norm::L0 => 0.0,
        }
    }

    proptest! {
        #[test]
        fn batched_projections_are_those_of_single_images(threat in threats(), (shape, clean, points) in batches()) {
            let batch = threat.project_batch(&tensor(&clean, shape), tensor(&points, shape)).unwrap();
            prop_assert_eq!(batch.dims(), shape);
            let batch = batch.try_into_vec_as::<f32>().unwrap();
            let row = values_per_image(shape);
            let mut single = points;
            single.chunks_mut(row).zip(clean.chunks(row)).for_each(|(point, x)| threat.project(x, point));
            for (b, s) in batch.iter().zip(&single) {
                prop_assert!((b - s).abs() <= tolerance(threat.norm()), "{threat}: {b} {s}");
            }
        }

        #[test]
        fn batched_directions_are_those_of_single_images(
            threat in threats(), (shape, _, gradients) in batches(), support in 1usize..20,
        ) {
            let batch = threat.steepest_batch(tensor(&gradients, shape), support).unwrap();
            prop_assert_eq!(batch.dims(), shape);
            let batch = batch.try_into_vec_as::<f32>().unwrap();
            let row = values_per_image(shape);
            let mut single = vec![0.0; gradients.len()];
            let rows = single.chunks_mut(row).zip(gradients.chunks(row));
            rows.for_each(|(direction, gradient)| threat.steepest(gradient, support, direction));
            for (b, s) in batch.iter().zip(&single) {
                prop_assert!((b - s).abs() <= tolerance(threat.norm()), "{threat}: {b} {s}");
            }
        }

        #[test]
        fn projection_lands_inside_twice_the_same_and_keeps_what_is_inside(
            threat in threats(), (_, origin, mut point) in batches(),
        ) {
            threat.project(&origin, &mut point);
            prop_assert!(threat.contains(&origin, &point));
            // Tighter than the tolerance of the verification: one rounding of f32 per value.
            let epsilon = threat.epsilon();
            let slack = match threat.norm() {
                Norm::Linf => 1e-7,
                Norm::L2 | Norm::L1 => 1e-6 * (1.0 + epsilon),
                Norm::L0 => 0.0,
            };
            prop_assert!(threat.distance(&origin, &point) <= epsilon + slack);
            let once = point.clone();
            threat.project(&origin, &mut point);
            for (a, b) in once.iter().zip(&point) {
                prop_assert!((a - b).abs() <= 1e-6, "{a} {b}");
            }
            // Half-way to the image, the point is inside and stays the same to the last bit.
            let half_way: Vec<f32> = origin.iter().zip(&once).map(|(x, p)| x + 0.5 * (p - x)).collect();
            if threat.distance(&origin, &half_way) <= epsilon {
                let mut same = half_way.clone();
                threat.project(&origin, &mut same);
                prop_assert_eq!(same, half_way);
            }
        }

        #[test]
        fn random_starts_lie_inside(threat in threats(), seed: u64, origin in prop::collection::vec(0.0f32..=1.0, 1..40)) {
            let start = threat.random_start(&origin, &mut Draws::new(seed, 0, "test", 0));
            prop_assert!(start.iter().all(|p| (0.0..=1.0).contains(p)));
            // Roundings of the length and of each value.
            let slack = if threat.norm() == Norm::L0 { 0.0 } else { threat.epsilon() * 1e-6 + 1e-6 };
            prop_assert!(threat.distance(&origin, &start) <= threat.epsilon() + slack);
        }
    }

    /// In two dimensions, half the radius holds a quarter of a ball. The mean square of a coordinate is the integral over
    /// the ball divided by its area: 1/3 of the squared radius in Linf, 1/4 in L2 and 1/6 in L1.
    #[test]
    fn random_starts_are_uniform_in_the_ball() {
        let (count, epsilon) = (4000, 0.25);
        let mut draws = Draws::new(0, 0, "test", 0);
        for (norm, mean_square) in [(Norm::Linf, 1.0 / 3.0), (Norm::L2, 1.0 / 4.0), (Norm::L1, 1.0 / 6.0)] {
            let threat = ThreatModel::new(norm, epsilon).unwrap();
            let (mut sum, mut squares, mut near) = (0.0, 0.0, 0.0);
            for _ in 0..count {
                let offset = threat.random_offset(2, &mut draws.clone()).unwrap();
                let start = threat.random_start(&[0.5; 2], &mut draws);
                assert_eq!(start, [0.5 + offset[0], 0.5 + offset[1]]);
                sum += offset[0] / epsilon;
                squares += (offset[0] / epsilon).powi(2);
                near += f32::from(norm.length(offset) <= epsilon / 2.0);
            }
            // Five standard errors. The deviation of values in [-1, 1] is at most 1, and that of values in [0, 1] 1/2.
            let [mean, square, near] = [sum, squares, near].map(|sum| sum / count as f32);
            let error = 5.0 / (count as f32).sqrt();
            assert!(mean.abs() < error, "{norm}: {mean}");
            assert!((square - mean_square).abs() < error / 2.0, "{norm}: {square}");
            assert!((near - 0.25).abs() < error / 2.0, "{norm}: {near}");
        }
        // In L0, the offset depends on the image.
        assert_eq!(ThreatModel::new(Norm::L0, 1.0).unwrap().random_offset(2, &mut draws), None);
    }

    #[test]
    fn noise_is_uniform_in_linf_and_normal_in_the_other_norms() {
        for norm in Norm::ALL {
            let threat = ThreatModel::new(norm, 1.0).unwrap();
            let noise = threat.noise(4000, &mut Draws::new(0, 0, "test", 0));
            let moment = |power| noise.iter().map(|v| v.powi(power)).sum::<f32>() / 4000.0;
            let variance = if norm == Norm::Linf { 1.0 / 3.0 } else { 1.0 };
            // Five standard errors. The deviations of a normal number and of its square are 1 and √2.
            assert!(moment(1).abs() < 0.08, "{norm}: {}", moment(1));
            assert!((moment(2) - variance).abs() < 0.12, "{norm}: {}", moment(2));
        }
    }

    #[test]
    fn a_zero_gradient_gives_no_direction() {
        for norm in Norm::ALL {
            let mut direction = [1.0; 3];
            ThreatModel::new(norm, 1.0).unwrap().steepest(&[0.0; 3], 1, &mut direction);
            assert_eq!(direction, [0.0; 3]);
        }
    }
}

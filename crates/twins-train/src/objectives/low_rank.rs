use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A low-rank change of one weight, seen as the matrix `[rows, columns]` of its first axis and all others.
///
/// ```text
/// Δ = B · A / rank
/// ```
#[derive(Module, Debug)]
pub(crate) struct LowRank {
    /// `[rank, columns]`, drawn from the standard normal distribution.
    pub(crate) a: Param<Tensor<2>>,
    /// `[rows, rank]`, zero at the beginning, so that Δ is.
    pub(crate) b: Param<Tensor<2>>,
}

impl LowRank {
    /// A change of zero, on the device and of the type of the weight.
    pub(crate) fn zero<const D: usize>(weight: &Tensor<D>, rank: usize, seed: u64) -> Self {
        let [rows, columns] = matrix(&weight.dims());
        let place = (&weight.device(), weight.dtype());
        let a = TensorData::new(normal(seed, rank * columns), [rank, columns]);
        Self {
            a: Param::from_tensor(Tensor::from_data(a, place)),
            b: Param::from_tensor(Tensor::zeros([rows, rank], place)),
        }
    }

    /// Δ in the weight's shape, tracked to both factors.
    pub(crate) fn change<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let a = self.a.val();
        let rank = a.dims()[0] as f64;
        self.b.val().matmul(a).div_scalar(rank).reshape(shape)
    }
}

/// Rows and columns of a weight's matrix: the output channels of a convolution and everything else, the inputs and the
/// outputs of a linear layer.
pub(crate) fn matrix(shape: &[usize]) -> [usize; 2] {
    [shape[0], shape[1..].iter().product()]
}

/// Box and Muller's method, which needs two uniform draws for two normal ones.
fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        // In (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - draws.random::<f32>()).ln()).sqrt();
        let (sin, cos) = (std::f32::consts::TAU * draws.random::<f32>()).sin_cos();
        values.extend([radius * cos, radius * sin]);
    }
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn change_by_hand() {
        let device = Device::flex();
        let change = LowRank {
            a: Param::from_tensor(Tensor::from_floats([[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 1.0]], &device)),
            b: Param::from_tensor(Tensor::from_floats([[2.0, 4.0], [0.0, 2.0]], &device)),
        };
        let found = change.change([2, 2, 2]).into_data();
        // B·A = [[2, 8, 6, 12], [0, 2, 0, 2]], halved: exact in binary.
        assert_eq!(found.try_to_vec::<f32>().unwrap(), [1.0, 4.0, 3.0, 6.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(found.shape().as_slice(), [2, 2, 2]);
    }

    #[test]
    fn starts_at_zero_with_a_drawn_from_the_seed() {
        let weight = Tensor::<4>::ones([8, 3, 3, 3], &Device::flex());
        let change = LowRank::zero(&weight, 4, 7);
        assert_eq!((change.a.val().dims(), change.b.val().dims()), ([4, 27], [8, 4]));
        assert_eq!(change.change([8, 3, 3, 3]).abs().max().into_scalar::<f32>(), 0.0);
        let again = LowRank::zero(&weight, 4, 7).a.val().into_data();
        assert_eq!(change.a.val().into_data(), again);
        assert_ne!(LowRank::zero(&weight, 4, 8).a.val().into_data(), again);
    }

    #[test]
    fn draws_have_mean_zero_and_variance_one() {
        let values = normal(1, 100_001);
        assert_eq!(values.len(), 100_001);
        let mean = values.iter().sum::<f32>() / 1e5;
        let variance = values.iter().map(|value| value * value).sum::<f32>() / 1e5;
        // Three standard deviations of the estimates: 3 / sqrt(1e5) and 3 · sqrt(2 / 1e5).
        assert!(mean.abs() < 0.0095 && (variance - 1.0).abs() < 0.0135, "{mean}, {variance}");
    }
}

//! Low-rank changes of a model's weights. A weight is treated as a matrix whose rows are its first axis and whose
//! columns are all other axes.
//!
//! ```text
//! Δ = B · A / rank
//! ```
//!
//! A `[rank, columns]` is drawn from the standard normal distribution. B `[rows, rank]` is initially zero, and so is Δ.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::TrainError;
use crate::objectives::ObjectiveParameters;
use crate::parameters::{Survey, is_under};
use crate::random_keys::key;

/// The purpose of the random draws, which is part of their key.
const DRAWS: u64 = 3;

/// Which weights have a low-rank change, and its rank.
pub(super) struct Branch<'a> {
    pub(super) rank: usize,
    /// The path of the head, whose weights are not changed.
    pub(super) head: &'a str,
    /// Path prefixes of weights that are never trained. They have no low-rank change.
    pub(super) frozen: &'a [String],
    pub(super) seed: u64,
}

impl Branch<'_> {
    /// Creates the factors `PATH.a` and `PATH.b` of a zero change, for every trained weight of rank 2 or more outside the
    /// head.
    ///
    /// # Errors
    ///
    /// [`TrainError::BranchRank`] for a rank larger than the smaller side of a weight's matrix.
    pub(super) fn factors<M: Module>(&self, model: &M) -> Result<ObjectiveParameters, TrainError> {
        let mut create = Create {
            branch: self,
            survey: Survey::of(model),
            path: Vec::new(),
            count: 0,
            factors: Ok(ObjectiveParameters::default()),
        };
        model.visit(&mut create);
        create.factors
    }
}

/// Returns the model with the changes added to its weights. All parameters outside the head are detached, so gradients
/// reach only the factors and the head.
pub(super) fn add_changes<M: Module>(model: M, factors: &ObjectiveParameters, head: &str) -> M {
    model.map(&mut AddChanges { factors, head, path: Vec::new() })
}

struct Create<'a> {
    branch: &'a Branch<'a>,
    survey: Survey,
    path: Vec<String>,
    count: u64,
    factors: Result<ObjectiveParameters, TrainError>,
}

impl ModuleVisitor for Create<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Branch { rank, head, frozen, seed } = *self.branch;
        let path = self.path.join(".");
        let mut excluded = frozen.iter().map(String::as_str).chain([head]);
        if D < 2 || !self.survey.trainable.contains(&path) || excluded.any(|prefix| is_under(&path, prefix)) {
            return;
        }
        let Ok(factors) = &mut self.factors else { return };
        let weight = param.val();
        let matrix = matrix(&weight.dims());
        if rank > matrix[0].min(matrix[1]) {
            self.factors = Err(TrainError::BranchRank { rank, path, matrix });
            return;
        }
        let [a, b] = initial_factors(&weight, rank, key(seed, &[DRAWS, self.count]));
        factors.insert(format!("{path}.a"), a);
        factors.insert(format!("{path}.b"), b);
        self.count += 1;
    }
}

struct AddChanges<'a> {
    factors: &'a ObjectiveParameters,
    head: &'a str,
    path: Vec<String>,
}

impl ModuleMapper for AddChanges<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        if is_under(&path, self.head) {
            return param;
        }
        let factor = |name: &str| self.factors.get(&format!("{path}.{name}"));
        param.map(|weight| {
            let weight = weight.detach();
            match (factor("a"), factor("b")) {
                (Some(a), Some(b)) => weight.clone() + change(a, b, weight.dims()),
                _ => weight,
            }
        })
    }
}

/// Creates A and B of a zero change, with the device and the data type of the weight.
fn initial_factors<const D: usize>(weight: &Tensor<D>, rank: usize, seed: u64) -> [Tensor<2>; 2] {
    let [rows, columns] = matrix(&weight.dims());
    let place = (&weight.device(), weight.dtype());
    let a = TensorData::new(normal(seed, rank * columns), [rank, columns]);
    [Tensor::from_data(a, place), Tensor::zeros([rows, rank], place)]
}

/// Computes Δ in the shape of the weight.
fn change<const D: usize>(a: Tensor<2>, b: Tensor<2>, shape: [usize; D]) -> Tensor<D> {
    let rank = a.dims()[0] as f64;
    b.matmul(a).div_scalar(rank).reshape(shape)
}

/// The numbers of rows and columns of a weight's matrix. For a convolution these are the output channels and everything
/// else, for a linear layer the inputs and the outputs.
fn matrix(shape: &[usize]) -> [usize; 2] {
    [shape[0], shape[1..].iter().product()]
}

/// Draws from the standard normal distribution by the Box–Muller method, which turns two uniform draws into two normal
/// draws.
fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        // The argument is in (0, 1], where the logarithm is finite.
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
        let a = Tensor::from_floats([[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 1.0]], &device);
        let b = Tensor::from_floats([[2.0, 4.0], [0.0, 2.0]], &device);
        let found = change(a, b, [2, 2, 2]).into_data();
        // B·A = [[2, 8, 6, 12], [0, 2, 0, 2]], halved: exact in binary.
        assert_eq!(found.try_to_vec::<f32>().unwrap(), [1.0, 4.0, 3.0, 6.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(found.shape().as_slice(), [2, 2, 2]);
    }

    #[test]
    fn starts_at_zero_with_a_drawn_from_the_seed() {
        let weight = Tensor::<4>::ones([8, 3, 3, 3], &Device::flex());
        let [a, b] = initial_factors(&weight, 4, 7);
        assert_eq!((a.dims(), b.dims()), ([4, 27], [8, 4]));
        assert_eq!(change(a.clone(), b, [8, 3, 3, 3]).abs().max().into_scalar::<f32>(), 0.0);
        let drawn = |seed| initial_factors(&weight, 4, seed)[0].to_data();
        assert_eq!(a.into_data(), drawn(7));
        assert_ne!(drawn(8), drawn(7));
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

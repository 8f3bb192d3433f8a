//! Initial weights that depend only on a seed.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::architectures::spec::{Body, BodySpec};

/// The distribution of a layer's initial weights.
#[derive(Clone, Copy)]
enum Draw {
    /// Normal with variance 2 / fan-out.
    HeNormal,
    /// Uniform in ±1/√fan-in.
    Uniform,
    /// Normal with standard deviation 0.02; biases are 0. torchvision truncates it at ±2, which is a hundred standard
    /// deviations.
    Small,
}

/// Replaces the initial values of convolutions and dense layers by seeded ones, which are drawn on first use.
pub(crate) struct Initialise {
    seed: u64,
    convolutions: Draw,
    dense: Draw,
    path: Vec<(String, String)>,
    /// The fan-in of the last weight visited, for the bias that follows it.
    fan_in: usize,
}

impl Initialise {
    pub(crate) fn new(seed: u64, spec: &BodySpec) -> Self {
        let (convolutions, dense) = match spec {
            BodySpec::MnistCnn(_) => (Draw::Uniform, Draw::Uniform),
            BodySpec::ResNet(_) => (Draw::HeNormal, Draw::Uniform),
            BodySpec::ConvNeXt(_) => (Draw::Small, Draw::Small),
        };
        Self { seed, convolutions, dense, path: Vec::new(), fan_in: 1 }
    }

    pub(crate) fn apply(mut self, body: Body) -> Body {
        body.map(&mut self)
    }

    /// Initialises a new dense layer.
    pub(crate) fn dense<M: Module>(seed: u64, layer: M) -> M {
        let (convolutions, dense) = (Draw::Uniform, Draw::Uniform);
        let mut mapper = Self { seed, convolutions, dense, path: Vec::new(), fan_in: 1 };
        layer.map(&mut mapper)
    }
}

impl ModuleMapper for Initialise {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push((name.to_owned(), container.to_owned()));
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape();
        let draw = match self.path.last().map(|(_, container)| container.as_str()) {
            Some("Struct:Conv2d") => self.convolutions,
            Some("Struct:Linear") => self.dense,
            _ => return param,
        };
        let fan_out = match D {
            4 => {
                self.fan_in = shape[1] * shape[2] * shape[3];
                shape[0] * shape[2] * shape[3]
            }
            2 => {
                self.fan_in = shape[0];
                shape[1]
            }
            _ => shape[0],
        };
        let path = self.path.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
        let (seed, fan_in, count) = (self.seed, self.fan_in, shape.num_elements());
        let values = move || match draw {
            Draw::HeNormal => normal(seed, &path, count, (2.0 / fan_out as f32).sqrt()),
            Draw::Uniform => uniform(seed, &path, count, 1.0 / (fan_in as f32).sqrt()),
            Draw::Small if D == 1 => vec![0.0; count],
            Draw::Small => normal(seed, &path, count, 0.02),
        };
        let declared = shape.clone();
        Param::uninitialized(
            param.id,
            move |device, tracked| {
                let tensor = Tensor::from_data(TensorData::new(values(), declared), device);
                if tracked { tensor.require_grad() } else { tensor }
            },
            param.lazy_device(),
            true,
            shape,
        )
    }
}

/// Creates a separate random number generator for each parameter.
fn generator(seed: u64, path: &str) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // FNV-1a: a fixed hash, so that weights stay the same across compilers and versions.
    let hash = path.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    rng.set_stream(hash);
    rng
}

fn uniform(seed: u64, path: &str, count: usize, bound: f32) -> Vec<f32> {
    let mut rng = generator(seed, path);
    (0..count).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect()
}

/// The Box–Muller method, which converts two uniform numbers to two normal ones.
fn normal(seed: u64, path: &str, count: usize, std: f32) -> Vec<f32> {
    let mut rng = generator(seed, path);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        // In (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt() * std;
        let (sin, cos) = (std::f32::consts::TAU * rng.random::<f32>()).sin_cos();
        values.extend([radius * cos, radius * sin]);
    }
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::architectures::architecture::Architecture;
    use crate::network::config::ModelConfig;
    use crate::network::slots::values;

    #[test]
    fn layers_have_their_fans() {
        let drawn = |arch| values(ModelConfig::new(arch, 10).init(&Device::flex()).unwrap().body());
        // 4608 weights of a 3 × 3 convolution from 16 to 32 channels, whose fan-out is 288: a standard error of 0.00087, four of it.
        let net = drawn(Architecture::ResNet8);
        let weights = net["stages.1.0.conv1.weight"].try_to_vec::<f32>().unwrap();
        let std = (weights.iter().map(|v| v * v).sum::<f32>() / weights.len() as f32).sqrt();
        assert!((std - (2.0f32 / 288.0).sqrt()).abs() < 0.0035, "{std}");
        // The largest of 32 uniform numbers or more is above 0.7 of the bound, but for one case in 90 000.
        let net = drawn(Architecture::MnistCnn);
        for (layer, fan_in) in [("conv2", 16 * 4 * 4), ("fc1", 32 * 7 * 7)] {
            for parameter in ["weight", "bias"] {
                let values = net[&format!("{layer}.{parameter}")].try_to_vec::<f32>().unwrap();
                let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                let bound = 1.0 / (fan_in as f32).sqrt();
                assert!(
                    (0.7 * bound..=bound).contains(&largest),
                    "{layer}.{parameter}: {largest} of {bound}"
                );
            }
        }
    }

    #[test]
    fn draws_have_the_promised_moments() {
        let values = normal(1, "a", 100_000, 0.5);
        let mean = values.iter().sum::<f32>() / 1e5;
        let std = (values.iter().map(|v| v * v).sum::<f32>() / 1e5).sqrt();
        // Standard errors are 0.0016 and 0.0011: four of each.
        assert!(mean.abs() < 0.0064 && (std - 0.5).abs() < 0.0045, "{mean} {std}");
        let values = uniform(1, "a", 100_000, 0.5);
        assert!(values.iter().all(|v| v.abs() <= 0.5));
        let std = (values.iter().map(|v| v * v).sum::<f32>() / 1e5).sqrt();
        // 0.5 / √3 with a standard error of 0.0004.
        assert!((std - 0.288_675).abs() < 0.0016, "{std}");
    }

    #[test]
    fn draws_depend_on_seed_and_path() {
        assert_eq!(normal(1, "a", 5, 1.0), normal(1, "a", 5, 1.0));
        assert_ne!(normal(1, "a", 5, 1.0), normal(2, "a", 5, 1.0));
        assert_ne!(normal(1, "a", 5, 1.0), normal(1, "b", 5, 1.0));
    }
}

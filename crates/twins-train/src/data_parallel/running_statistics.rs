use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::parameters::{Survey, flattened};

/// The running statistics of a model by path, flattened, on the model's device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics(BTreeMap<String, Tensor<1>>);

impl Statistics {
    /// Reads the statistics of a model, whose [`statistic_paths`] are given. The update by the last batch is included.
    pub(crate) fn of<M: Module>(model: &M, paths: &BTreeSet<String>) -> Self {
        Self(flattened(model, |path| paths.contains(path)))
    }

    /// Returns the model with these statistics. They also apply to clones that share the model's statistics.
    pub(crate) fn load_into<M: Module>(&self, model: M) -> M {
        model.map(&mut Load { path: Vec::new(), statistics: &self.0 })
    }

    /// ```text
    /// s + Σ share_k · (s_k − s)
    /// ```
    ///
    /// This is the mean of the s_k, weighted by shares that add up to 1. In this form, statistics that no part has changed,
    /// such as those of a layer that is not trained, remain bit-identical. The mean of a single part is that part.
    pub(crate) fn mean(&self, parts: &[(f64, Self)]) -> Self {
        if let [(_, only)] = parts {
            return only.clone();
        }
        let mean = |(path, start): (&String, &Tensor<1>)| {
            let moved = parts.iter().map(|(share, part)| {
                (part.0[path].clone().to_device(&start.device()) - start.clone()).mul_scalar(*share)
            });
            (path.clone(), start.clone() + moved.reduce(|sum, next| sum + next).expect("there is a part"))
        };
        Self(self.0.iter().map(mean).collect())
    }

    /// Copies the statistics to the host.
    pub(crate) fn to_data(&self) -> BTreeMap<String, TensorData> {
        self.0.iter().map(|(path, value)| (path.clone(), value.to_data())).collect()
    }

    pub(crate) fn from_data(data: BTreeMap<String, TensorData>, device: &Device) -> Self {
        let upload = |data: TensorData| {
            let dtype = data.dtype();
            Tensor::from_data(data, (device, dtype))
        };
        Self(data.into_iter().map(|(path, data)| (path, upload(data))).collect())
    }
}

/// The paths of a model's running statistics.
///
/// Burn visits running statistics as if they were parameters. They differ from parameters, which include the statistics of the frozen wing,
/// in that they can never require gradients.
pub(crate) fn statistic_paths<M: Module>(model: &M) -> BTreeSet<String> {
    struct RequireAll;

    impl ModuleMapper for RequireAll {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.set_require_grad(true)
        }
    }

    // valid() is called because clones share the statistics.
    let required = model.valid().train().map(&mut RequireAll);
    let Survey { paths, trainable, .. } = Survey::of(&required);
    paths.into_iter().filter(|path| !trainable.contains(path)).collect()
}

struct Load<'a> {
    path: Vec<String>,
    statistics: &'a BTreeMap<String, Tensor<1>>,
}

impl ModuleMapper for Load<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(new) = self.statistics.get(&self.path.join(".")) else { return param };
        param.map(|old| {
            let new = new.clone().to_device(&old.device().inner()).reshape(old.dims());
            if old.device().is_autodiff() { Tensor::from_inner(new) } else { new }
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use twins_nn::{TwinsBatchNorm, TwinsBatchNormConfig};

    use super::*;

    #[derive(Module, Debug)]
    struct Net {
        stock: BatchNorm,
        wings: TwinsBatchNorm,
        head: Linear,
    }

    fn net() -> Net {
        let device = Device::flex().autodiff();
        Net {
            stock: BatchNormConfig::new(1).init(&device),
            wings: TwinsBatchNormConfig::new(1).init(&device),
            head: LinearConfig::new(1, 2).init(&device),
        }
    }

    #[test]
    fn statistics_are_told_from_parameters_frozen_ones_too() {
        let mut net = net();
        net.head.weight = net.head.weight.set_require_grad(false);
        let found = statistic_paths(&net);
        let expected = ["stock.running_mean", "stock.running_var", "wings.running_mean", "wings.running_var"];
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        assert!(!net.head.weight.val().is_require_grad() && net.stock.gamma.val().is_require_grad());
    }

    #[test]
    fn mean_by_hand_and_exact_where_nothing_moved() {
        let statistics = |values: [f32; 2]| {
            let values = Tensor::from_floats(values, &Device::flex());
            Statistics(BTreeMap::from([("a".to_owned(), values)]))
        };
        let start = statistics([0.1, 0.0]);
        let parts = [(1.0 / 3.0, statistics([0.1, 3.0])), (2.0 / 3.0, statistics([0.1, 6.0]))];
        // 1 + 4; two roundings of float32.
        let mean = start.mean(&parts).0["a"].clone().into_data().try_to_vec::<f32>().unwrap();
        assert!(mean[0] == 0.1 && (mean[1] - 5.0).abs() < 1e-6, "{mean:?}");
        let only = start.mean(&parts[..1]).0["a"].clone().into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(only, [0.1, 3.0]);
    }

    #[test]
    fn loaded_statistics_include_the_last_update_and_are_not_shared() {
        let (from, into) = (net(), net());
        let device = Device::flex().autodiff();
        from.stock.forward(Tensor::<2>::from_floats([[1.0], [3.0]], &device));
        let paths = statistic_paths(&from);
        let moved = Statistics::of(&from, &paths).load_into(into.valid().train());
        let mean = |net: &Net| net.valid().stock.running_mean.value().into_scalar::<f32>();
        // 0.9 · 0 + 0.1 · 2
        assert_eq!((mean(&moved), mean(&into)), (0.2, 0.0));
    }
}

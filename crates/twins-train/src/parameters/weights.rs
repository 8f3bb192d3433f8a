use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, DType, Int, Tensor, TensorData};

use super::survey::is_under;
use crate::error::TrainError;

/// The values of every parameter and running statistic of a model, by path, on the host.
///
/// These are the tensors in a checkpoint. They are read through [`valid`](Module::valid), because the running
/// statistics of Burn's own layers would otherwise lag one update behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights(pub(crate) BTreeMap<String, TensorData>);

impl Weights {
    /// Copies the weights of a model.
    pub fn of<M: Module>(model: &M) -> Self {
        let mut collect = Collect { path: Vec::new(), tensors: BTreeMap::new() };
        model.valid().visit(&mut collect);
        Self(collect.tensors)
    }

    /// Returns the model with these weights.
    ///
    /// # Errors
    ///
    /// [`TrainError::WeightsMismatch`] if an entry is missing, superfluous or of another shape.
    pub fn load_into<M: Module>(&self, model: M) -> Result<M, TrainError> {
        let mut apply = Apply { path: Vec::new(), weights: &self.0, used: 0, problem: None };
        let model = model.map(&mut apply);
        if let Some(problem) = apply.problem {
            return Err(TrainError::WeightsMismatch { problem });
        }
        if apply.used != self.0.len() {
            let mut paths = Paths { path: Vec::new(), paths: Vec::new() };
            model.visit(&mut paths);
            let left: Vec<&String> =
                self.0.keys().filter(|path| !paths.paths.contains(path)).take(5).collect();
            return Err(TrainError::WeightsMismatch { problem: format!("unexpected: {left:?}") });
        }
        Ok(model)
    }

    /// Returns a copy without the tensors under a path.
    pub(crate) fn without(&self, prefix: &str) -> Self {
        let kept = self.0.iter().filter(|(path, _)| !is_under(path, prefix));
        Self(kept.map(|(path, data)| (path.clone(), data.clone())).collect())
    }

    /// The tensors by path.
    pub fn tensors(&self) -> &BTreeMap<String, TensorData> {
        &self.0
    }
}

struct Collect {
    path: Vec<String>,
    tensors: BTreeMap<String, TensorData>,
}

struct Paths {
    path: Vec<String>,
    paths: Vec<String>,
}

struct Apply<'a> {
    path: Vec<String>,
    weights: &'a BTreeMap<String, TensorData>,
    used: usize,
    problem: Option<String>,
}

macro_rules! tracks_path {
    () => {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
    };
}

macro_rules! collects {
    ($method:ident, $kind:ty) => {
        fn $method<const D: usize>(&mut self, param: &Param<Tensor<D, $kind>>) {
            self.tensors.insert(self.path.join("."), param.val().into_data());
        }
    };
}

impl ModuleVisitor for Collect {
    tracks_path!();
    collects!(visit_float, burn::tensor::Float);
    collects!(visit_int, Int);
    collects!(visit_bool, Bool);
}

macro_rules! lists {
    ($method:ident, $kind:ty) => {
        fn $method<const D: usize>(&mut self, _param: &Param<Tensor<D, $kind>>) {
            self.paths.push(self.path.join("."));
        }
    };
}

impl ModuleVisitor for Paths {
    tracks_path!();
    lists!(visit_float, burn::tensor::Float);
    lists!(visit_int, Int);
    lists!(visit_bool, Bool);
}

impl Apply<'_> {
    /// The tensor for a parameter of this shape, if it holds the parameter's kind of numbers.
    fn find(&mut self, dims: &[usize], holds: fn(&DType) -> bool) -> Option<TensorData> {
        let path = self.path.join(".");
        match self.weights.get(&path) {
            Some(data) if data.shape().as_slice() == dims && holds(&data.dtype()) => {
                self.used += 1;
                Some(data.clone())
            }
            Some(data) if data.shape().as_slice() == dims => {
                let dtype = data.dtype();
                let problem = format!(
                    "\"{path}\" has type {dtype:?} in the checkpoint, which the model cannot have there"
                );
                self.problem.get_or_insert(problem);
                None
            }
            Some(data) => {
                self.problem.get_or_insert(format!(
                    "\"{path}\" has shape {:?} in the checkpoint and {dims:?} in the model",
                    data.shape().as_slice()
                ));
                None
            }
            None => {
                self.problem.get_or_insert(format!("\"{path}\" is missing in the checkpoint"));
                None
            }
        }
    }
}

impl ModuleMapper for Apply<'_> {
    tracks_path!();

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(data) = self.find(&param.val().dims(), DType::is_float) else { return param };
        param.map(|tensor| {
            let dtype = data.dtype();
            let loaded = Tensor::from_data(data, (&tensor.device(), dtype));
            let loaded = match tensor.gradient_checkpointing_strategy() {
                Some(strategy) => loaded.with_gradient_checkpointing_strategy(strategy),
                None => loaded,
            };
            loaded.set_require_grad(tensor.is_require_grad())
        })
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let is_whole = |dtype: &DType| dtype.is_int() || dtype.is_uint();
        let Some(data) = self.find(&param.val().dims(), is_whole) else { return param };
        param.map(|tensor| Tensor::from_data(data, &tensor.device()))
    }

    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        let Some(data) = self.find(&param.val().dims(), DType::is_bool) else { return param };
        param.map(|tensor| Tensor::from_data(data, &tensor.device()))
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;

    #[derive(Module, Debug)]
    struct Net {
        norm: BatchNorm,
        linear: Linear,
    }

    fn net(classes: usize) -> Net {
        let device = Device::flex().autodiff();
        Net {
            norm: BatchNormConfig::new(3).init(&device),
            linear: LinearConfig::new(3, classes).init(&device),
        }
    }

    #[test]
    fn round_trip_includes_the_last_statistics() {
        let model = net(2);
        let device = Device::flex().autodiff();
        model.norm.forward(Tensor::<2>::from_floats([[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]], &device));
        let weights = Weights::of(&model);
        // 0.9 · 0 + 0.1 · mean(1, 3)
        assert_eq!(weights.0["norm.running_mean"].as_slice::<f32>().unwrap()[0], 0.2);
        let loaded = weights.load_into(net(2)).unwrap();
        assert_eq!(Weights::of(&loaded), weights);
        assert!(loaded.linear.weight.val().is_require_grad());
    }

    #[test]
    fn mismatches_are_named() {
        let weights = Weights::of(&net(2));
        let message = weights.load_into(net(3)).unwrap_err().to_string();
        assert!(message.contains("\"linear.weight\" has shape [3, 2]"), "{message}");
        let message = Weights::of(&net(2).linear).load_into(net(2)).unwrap_err().to_string();
        assert!(message.contains("\"norm.gamma\" is missing"), "{message}");
        let message = weights.load_into(net(2).norm).unwrap_err().to_string();
        assert!(message.contains("is missing"), "{message}");
        let mut whole = weights.clone();
        whole.0.insert("linear.bias".into(), TensorData::from([1i32, 2]));
        let message = whole.load_into(net(2)).unwrap_err().to_string();
        assert!(message.contains("\"linear.bias\" has type I32"), "{message}");
        let mut more = weights.clone();
        more.0.insert("head.bias".into(), TensorData::from([1.0f32]));
        let message = more.load_into(net(2)).unwrap_err().to_string();
        assert!(message.contains("unexpected: [\"head.bias\"]"), "{message}");
    }
}

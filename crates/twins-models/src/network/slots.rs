//! The parameters and running statistics of a network, into which weights are loaded.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

/// How the values in a file are laid out relative to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Same order.
    AsIs,
    /// PyTorch stores dense weights as `[out, in]`, Burn as `[in, out]`.
    Transposed,
    /// torchvision stores ConvNeXt's `layer_scale` as `[channels, 1, 1]`, this crate as `[channels]`.
    PerChannel,
}

/// A parameter or running statistic of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Path through the network's fields, without the names of enum variants.
    pub(crate) path: String,
    /// Shape in the module.
    pub(crate) shape: Vec<usize>,
    pub(crate) layout: Layout,
}

impl Slot {
    /// Shape in a PyTorch file.
    pub(crate) fn file_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        match self.layout {
            Layout::AsIs => {}
            Layout::Transposed => shape.reverse(),
            Layout::PerChannel => shape.extend([1, 1]),
        }
        shape
    }

    /// Name of the parameter in its layer.
    pub(crate) fn parameter(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    /// For a slot of the frozen wing: the slot of the adaptive wing from which it is filled if a file has only one set
    /// of batch-normalisation values.
    pub(crate) fn adaptive_path(&self) -> Option<String> {
        let (layer, parameter) = self.path.rsplit_once('.')?;
        let parameter = match parameter {
            "frozen_gamma" => "gamma",
            "frozen_beta" => "beta",
            "frozen_mean" => "running_mean",
            "frozen_var" => "running_var",
            _ => return None,
        };
        Some(format!("{layer}.{parameter}"))
    }

    /// Converts values from the file's order to the module's order, or back, by transposing a row-major matrix of
    /// `rows` × `columns`.
    pub(crate) fn reordered(&self, values: Vec<f32>, rows: usize, columns: usize) -> Vec<f32> {
        match self.layout {
            Layout::AsIs | Layout::PerChannel => values,
            Layout::Transposed => (0..columns)
                .flat_map(|c| (0..rows).map(move |r| (r, c)))
                .map(|(r, c)| values[r * columns + c])
                .collect(),
        }
    }
}

/// The path visited so far, with the type name of the module at each step.
#[derive(Default)]
struct Walk(Vec<(String, String)>);

impl Walk {
    fn enter(&mut self, name: &str, container: &str) {
        self.0.push((name.to_owned(), container.to_owned()));
    }

    fn path(&self) -> String {
        let named = self.0.iter().filter(|(_, container)| !container.starts_with("Enum:"));
        named.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".")
    }

    fn layout(&self, rank: usize) -> Layout {
        match self.0.last() {
            Some((_, container)) if container == "Struct:Linear" && rank == 2 => Layout::Transposed,
            Some((name, container)) if container == "Struct:ConvNeXtBlock" && name == "layer_scale" => {
                Layout::PerChannel
            }
            _ => Layout::AsIs,
        }
    }
}

struct Collect {
    walk: Walk,
    slots: Vec<Slot>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.walk.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.walk.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.slots.push(Slot {
            path: self.walk.path(),
            shape: param.lazy_shape().to_vec(),
            layout: self.walk.layout(D),
        });
    }
}

/// Returns all slots of a network in the order of its fields, without computing initial values.
pub(crate) fn slots<M: Module>(module: &M) -> Vec<Slot> {
    let mut collect = Collect { walk: Walk::default(), slots: Vec::new() };
    module.visit(&mut collect);
    collect.slots
}

struct Read {
    walk: Walk,
    values: HashMap<String, TensorData>,
}

impl ModuleVisitor for Read {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.walk.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.walk.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.values.insert(self.walk.path(), param.val().into_data());
    }
}

/// Returns the values of all slots by path.
pub(crate) fn values<M: Module>(module: &M) -> HashMap<String, TensorData> {
    let mut read = Read { walk: Walk::default(), values: HashMap::new() };
    module.visit(&mut read);
    read.values
}

struct Fill {
    walk: Walk,
    values: HashMap<String, Vec<f32>>,
}

impl ModuleMapper for Fill {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.walk.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.walk.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.values.remove(&self.walk.path()) else {
            return param;
        };
        let data = TensorData::new(values, param.lazy_shape());
        let tensor = Tensor::from_data(data, &param.lazy_device());
        let id = param.id;
        param.transform_for_load(tensor, id)
    }
}

/// Returns the network with these values, in the module's order, at their paths.
pub(crate) fn filled<M: Module>(module: M, values: HashMap<String, Vec<f32>>) -> M {
    module.map(&mut Fill { walk: Walk::default(), values })
}

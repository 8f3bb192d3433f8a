use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

/// Named matrices that an [`Objective`](crate::Objective) trains in addition to the model.
///
/// They are treated like the model's own parameters by the optimiser, weight averaging, weight perturbation, gradient norms,
/// data-parallel replicas and checkpoints. Store a vector as a matrix with one row, and reshape weights of higher rank in the
/// loss.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_train::ObjectiveParameters;
///
/// let device = Device::flex().autodiff();
/// let parameters = ObjectiveParameters::default().with("prototypes", Tensor::zeros([10, 64], &device));
/// assert_eq!(parameters.get("prototypes").unwrap().dims(), [10, 64]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ObjectiveParameters(BTreeMap<String, Param<Tensor<2>>>);

impl ObjectiveParameters {
    /// Adds a trainable parameter, or replaces the parameter of the same name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Tensor<2>) -> Self {
        self.insert(name, value);
        self
    }

    /// Adds a trainable parameter, or replaces the parameter of the same name.
    pub fn insert(&mut self, name: impl Into<String>, value: Tensor<2>) {
        self.0.insert(name.into(), Param::from_tensor(value.detach()));
    }

    /// The value of a parameter, tracked for gradients.
    pub fn get(&self, name: &str) -> Option<Tensor<2>> {
        self.0.get(name).map(Param::val)
    }

    /// The names in ascending order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn with_each(self, change: impl Fn(Param<Tensor<2>>) -> Param<Tensor<2>>) -> Self {
        Self(self.0.into_iter().map(|(name, param)| (name, change(param))).collect())
    }
}

/// Implemented by hand, because Burn has no module that is a map.
impl Module for ObjectiveParameters {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.0.values().fold(devices, |devices, param| param.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        self.with_each(|param| param.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.with_each(|param| param.to_device(device))
    }

    fn train(self) -> Self {
        self.with_each(Module::train)
    }

    fn valid(&self) -> Self {
        Self(self.0.iter().map(|(name, param)| (name.clone(), param.valid())).collect())
    }

    fn materialize(self) -> Self {
        self.with_each(Module::materialize)
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (name, param) in &self.0 {
            visitor.enter_module(name, "Struct:ObjectiveParameters");
            Module::visit(param, visitor);
            visitor.exit_module(name, "Struct:ObjectiveParameters");
        }
    }

    fn map<V: ModuleMapper>(self, mapper: &mut V) -> Self {
        let each = self.0.into_iter().map(|(name, param)| {
            mapper.enter_module(&name, "Struct:ObjectiveParameters");
            let param = Module::map(param, mapper);
            mapper.exit_module(&name, "Struct:ObjectiveParameters");
            (name, param)
        });
        Self(each.collect())
    }
}

use burn::module::{Module, ModuleMapper, ModuleVisitor};
use burn::tensor::Device;

use super::parameters::ObjectiveParameters;

/// The first component of the paths of an objective's parameters. No field of a struct can have this name, because it
/// contains a hyphen.
pub(crate) const OBJECTIVE_PARAMETERS: &str = "objective-parameters";

/// A model with the parameters that its [`Objective`](crate::Objective) trains in addition to those of the model.
///
/// As a module, it contains the model's parameters under their own names, followed by the objective's parameters under
/// `objective-parameters.`. Attacks, evaluation and inference use only [`model`](Self::model).
#[derive(Clone, Debug)]
pub struct TrainingModel<M> {
    /// The model.
    pub model: M,
    /// The parameters of the objective; empty for most objectives.
    pub parameters: ObjectiveParameters,
}

/// Wraps a model whose objective has no parameters.
impl<M> From<M> for TrainingModel<M> {
    fn from(model: M) -> Self {
        Self { model, parameters: ObjectiveParameters::default() }
    }
}

/// Implemented by hand, because a derived implementation would put the name of the field in front of the names of the
/// model's parameters.
impl<M: Module> Module for TrainingModel<M> {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.parameters.collect_devices(self.model.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        Self { model: self.model.fork(device), parameters: self.parameters.fork(device) }
    }

    fn to_device(self, device: &Device) -> Self {
        Self { model: self.model.to_device(device), parameters: self.parameters.to_device(device) }
    }

    fn train(self) -> Self {
        Self { model: self.model.train(), parameters: self.parameters.train() }
    }

    fn valid(&self) -> Self {
        Self { model: self.model.valid(), parameters: self.parameters.valid() }
    }

    fn materialize(self) -> Self {
        Self { model: self.model.materialize(), parameters: self.parameters.materialize() }
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.model.visit(visitor);
        visitor.enter_module(OBJECTIVE_PARAMETERS, "Struct:TrainingModel");
        self.parameters.visit(visitor);
        visitor.exit_module(OBJECTIVE_PARAMETERS, "Struct:TrainingModel");
    }

    fn map<V: ModuleMapper>(self, mapper: &mut V) -> Self {
        let model = self.model.map(mapper);
        mapper.enter_module(OBJECTIVE_PARAMETERS, "Struct:TrainingModel");
        let parameters = self.parameters.map(mapper);
        mapper.exit_module(OBJECTIVE_PARAMETERS, "Struct:TrainingModel");
        Self { model, parameters }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Tensor;

    use super::*;
    use crate::parameters::Weights;

    #[test]
    fn the_model_keeps_its_names_and_the_parameters_have_a_prefix() {
        let device = Device::flex().autodiff();
        let model: Linear = LinearConfig::new(2, 2).init(&device);
        let parameters = ObjectiveParameters::default().with("b.weight", Tensor::ones([1, 3], &device));
        let model = TrainingModel { model, parameters: parameters.with("a", Tensor::zeros([2, 1], &device)) };
        let weights = Weights::of(&model);
        let names: Vec<&String> = weights.tensors().keys().collect();
        assert_eq!(names, ["bias", "objective-parameters.a", "objective-parameters.b.weight", "weight"]);
        let loaded = weights.load_into(model.valid().train()).unwrap();
        assert!(loaded.parameters.get("a").unwrap().is_require_grad());
        assert_eq!(Weights::of(&loaded), weights);
        assert_eq!(loaded.parameters.names().collect::<Vec<_>>(), ["a", "b.weight"]);
        assert!(loaded.parameters.get("c").is_none() && !loaded.parameters.is_empty());
    }
}

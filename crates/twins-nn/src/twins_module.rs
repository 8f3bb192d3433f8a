use std::collections::BTreeMap;

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::store::{ModuleRecord, ModuleStore};
use burn::tensor::Tensor;

use crate::{LoadError, StatisticsError, Wing, WingDrift, drift, load, statistics};

/// The container that the derived [`Module`] reports to visitors for the fields of the layer.
pub(crate) const LAYER: &str = "Struct:TwinsBatchNorm";

/// Operations on every [`TwinsBatchNorm`](crate::TwinsBatchNorm) of a model.
///
/// The layers may be nested in structs, enums, `Vec`, `Option`, tuples or arrays. The trait is implemented for every Burn
/// module.
pub trait TwinsModule: Module {
    /// Returns the model with the given wing selected in every layer. Other layers are left as they are.
    ///
    /// The selection is part of the module's state. Clones and forks keep it, but records do not contain it.
    /// [`valid`](Module::valid) selects [`Wing::Adaptive`], and [`train`](Module::train) restores the previous selection.
    #[must_use]
    fn with_wing(self, wing: Wing) -> Self {
        self.map(&mut SetWing { wing, path: Vec::new() })
    }

    /// Loads all weights from a store that holds the same model with Burn's `BatchNorm` layers.
    ///
    /// Both wings of every two-wing layer get the values of its `BatchNorm` layer.
    ///
    /// The store is one of Burn's: `SafetensorsStore`, `PytorchStore` or `BurnpackStore`. Its key remapping and adapter are
    /// applied. An adapter for PyTorch's files also finds the gammas and betas of two-wing layers under PyTorch's names
    /// `weight` and `bias`. PyTorch's `num_batches_tracked` is not needed and is ignored.
    ///
    /// Loading is strict, whatever the store allows: the store must hold every parameter in the right shape, and nothing
    /// else. For data with other classes, load the pre-trained head first and replace it afterwards.
    ///
    /// ```no_run
    /// use burn::module::Module;
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::store::PytorchStore;
    /// use burn::tensor::Device;
    /// use twins_nn::{TwinsBatchNorm, TwinsBatchNormConfig, TwinsModule, Wing};
    ///
    /// #[derive(Module, Debug)]
    /// struct Net {
    ///     norm: TwinsBatchNorm,
    ///     head: Linear,
    /// }
    ///
    /// let device = Device::flex().autodiff();
    /// let net = Net {
    ///     norm: TwinsBatchNormConfig::new(64).init(&device),
    ///     head: LinearConfig::new(64, 10).init(&device),
    /// };
    /// let mut store = PytorchStore::from_file("pretrained.pth").with_top_level_key("state_dict");
    /// let net = net.load_batch_norm_from(&mut store)?.with_wing(Wing::Split);
    /// # Ok::<(), twins_nn::LoadError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns a [`LoadError`] in these cases, and loads nothing:
    ///
    /// - the source cannot be read;
    /// - entries are missing, unexpected or of another shape: the error lists all of them by path;
    /// - a mean or variance is not finite, or a variance is negative;
    /// - the model has no two-wing layer.
    fn load_batch_norm_from<S: ModuleStore>(self, store: &mut S) -> Result<Self, LoadError> {
        load::load_from(self, store)
    }

    /// Does the same as [`load_batch_norm_from`](Self::load_batch_norm_from) with a record of the model with `BatchNorm`
    /// layers, such as `ModuleRecord::load(path)?`.
    ///
    /// The record's dtype policy is applied: `ModuleRecord::load(path)?.cast_to_module_dtype()` loads its values in the
    /// precision of the model.
    ///
    /// # Errors
    ///
    /// The same as [`load_batch_norm_from`](Self::load_batch_norm_from).
    fn load_batch_norm_record(self, record: ModuleRecord) -> Result<Self, LoadError> {
        load::load_record(self, record)
    }

    /// Does the same as [`load_batch_norm_from`](Self::load_batch_norm_from) with the model with `BatchNorm` layers itself,
    /// including the running statistics of its last batch.
    ///
    /// # Errors
    ///
    /// The same as [`load_batch_norm_from`](Self::load_batch_norm_from).
    fn load_batch_norm_model<M: Module>(self, model: &M) -> Result<Self, LoadError> {
        // The record of a model in training mode would lack the last update of its running statistics.
        load::load_record(self, model.valid().into_record())
    }

    /// Returns the model with the adaptive wing's gamma, beta and running statistics copied into the frozen wing of every
    /// layer. This is the starting point of fine-tuning.
    #[must_use]
    fn copy_adaptive_to_frozen(self) -> Self {
        self.map(&mut CopyToFrozen::default())
    }

    /// Checks the means and variances of both wings in every layer.
    ///
    /// # Errors
    ///
    /// [`StatisticsError`] with the first value that is not finite or is a variance below zero.
    fn check_statistics(&self) -> Result<(), StatisticsError> {
        statistics::check(self)
    }

    /// Returns the selected wing of every two-wing layer, by the layer's path.
    fn wings(&self) -> BTreeMap<String, Wing> {
        let mut wings = Wings::default();
        self.visit(&mut wings);
        wings.found
    }

    /// Returns how far the statistics of the wings have diverged in every two-wing layer, by the layer's path.
    fn wing_drift(&self) -> BTreeMap<String, WingDrift> {
        drift::of(self)
    }

    /// Returns the number of two-wing layers in the model.
    fn num_twins_layers(&self) -> usize {
        self.wings().len()
    }
}

impl<M: Module> TwinsModule for M {}

/// The fields entered so far, each with the container that holds it.
pub(crate) type Path = Vec<(String, bool)>;

pub(crate) fn enter(path: &mut Path, name: &str, container: &str) {
    path.push((name.to_owned(), container == LAYER));
}

/// The name of the layer's field that is being visited, or `None` outside the layer.
pub(crate) fn layer_field(path: &Path) -> Option<&str> {
    path.last().filter(|(_, in_layer)| *in_layer).map(|(name, _)| name.as_str())
}

struct SetWing {
    wing: Wing,
    path: Path,
}

impl ModuleMapper for SetWing {
    fn enter_module(&mut self, name: &str, container: &str) {
        enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        let (training, frozen) = self.wing.flags();
        match layer_field(&self.path) {
            Some("training") => flag.with_value(training),
            Some("frozen") => flag.with_value(frozen),
            _ => flag,
        }
    }
}

/// Keeps the adaptive wing of the layer that is being mapped. Its fields come before those of the frozen wing.
#[derive(Default)]
struct CopyToFrozen {
    path: Path,
    adaptive: [Option<burn::tensor::TensorData>; 4],
}

impl ModuleMapper for CopyToFrozen {
    fn enter_module(&mut self, name: &str, container: &str) {
        enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        const ADAPTIVE: [&str; 4] = ["gamma", "beta", "running_mean", "running_var"];
        const FROZEN: [&str; 4] = ["frozen_gamma", "frozen_beta", "frozen_mean", "frozen_var"];
        let Some(field) = layer_field(&self.path) else { return param };
        if let Some(slot) = ADAPTIVE.iter().position(|name| *name == field) {
            self.adaptive[slot] = Some(param.val().into_data());
            return param;
        }
        match FROZEN.iter().position(|name| *name == field).and_then(|slot| self.adaptive[slot].take()) {
            Some(data) => param.map(|tensor| {
                let (device, dtype, tracked) = (tensor.device(), data.dtype(), tensor.is_require_grad());
                Tensor::from_data(data, (&device, dtype)).set_require_grad(tracked)
            }),
            None => param,
        }
    }
}

/// Keeps the first flag of the layer that is being visited. The second flag completes its wing.
#[derive(Default)]
struct Wings {
    path: Path,
    training: bool,
    found: BTreeMap<String, Wing>,
}

impl ModuleVisitor for Wings {
    fn enter_module(&mut self, name: &str, container: &str) {
        enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        match layer_field(&self.path) {
            Some("training") => self.training = flag.is_enabled(),
            Some("frozen") => {
                let layer = self.path[..self.path.len() - 1].iter().map(|(name, _)| name.as_str());
                let wing = Wing::from_flags(self.training, flag.is_enabled());
                self.found.insert(layer.collect::<Vec<_>>().join("."), wing);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::RunningState;
    use burn::nn::{Dropout, DropoutConfig};
    use burn::tensor::{DType, Device, TensorData};

    use super::*;
    use crate::{TwinsBatchNorm, TwinsBatchNormConfig};

    #[derive(Module, Debug)]
    #[allow(clippy::large_enum_variant)] // As users' enums are.
    enum Either {
        Norm(TwinsBatchNorm),
        Nothing(Dropout),
    }

    #[derive(Module, Debug)]
    struct Nested<N: Module> {
        plain: TwinsBatchNorm,
        several: Vec<TwinsBatchNorm>,
        optional: Option<TwinsBatchNorm>,
        absent: Option<TwinsBatchNorm>,
        either: Either,
        other: Either,
        pair: (TwinsBatchNorm, Dropout),
        generic: N,
    }

    impl<N: Module> Nested<N> {
        fn layers<'a>(&'a self, generic: &'a TwinsBatchNorm) -> Vec<&'a TwinsBatchNorm> {
            let Either::Norm(either) = &self.either else { unreachable!("built as a norm") };
            let optional = self.optional.as_ref().expect("built with one");
            [&self.plain, optional, either, &self.pair.0, generic].into_iter().chain(&self.several).collect()
        }
    }

    fn nested(device: &Device) -> Nested<TwinsBatchNorm> {
        let norm = || TwinsBatchNormConfig::new(2).init(device);
        let dropout = || DropoutConfig::new(0.5).init();
        Nested {
            plain: norm(),
            several: vec![norm(), norm()],
            optional: Some(norm()),
            absent: None,
            either: Either::Norm(norm()),
            other: Either::Nothing(dropout()),
            pair: (norm(), dropout()),
            generic: norm(),
        }
    }

    #[test]
    fn the_wing_reaches_every_nested_layer_and_nothing_else() {
        let model = nested(&Device::flex()).with_wing(Wing::Frozen);
        assert_eq!(model.num_twins_layers(), 7);
        assert!(model.layers(&model.generic).iter().all(|norm| norm.wing() == Wing::Frozen));
        assert!(model.wings().values().all(|wing| *wing == Wing::Frozen));
        assert!(model.wings().contains_key("several.1") && model.wings().contains_key("either.Norm"));
        assert!(model.pair.1.training.is_enabled(), "the dropout's flag is not a wing");
    }

    #[test]
    fn the_wing_survives_burns_own_verbs() {
        let device = Device::flex().autodiff();
        let split = TwinsBatchNormConfig::new(2).init(&device).with_wing(Wing::Split);
        assert_eq!(split.clone().wing(), Wing::Split);
        assert_eq!(split.clone().fork(&device).wing(), Wing::Split);
        assert_eq!(split.clone().to_device(&device).wing(), Wing::Split);
        assert_eq!(split.clone().no_grad().wing(), Wing::Split);
        assert_eq!(split.clone().freeze().wing(), Wing::Adaptive);
        assert_eq!(split.valid().wing(), Wing::Adaptive);
        assert_eq!(split.valid().train().wing(), Wing::Split);
        assert_eq!(split.valid().with_wing(Wing::Frozen).wing(), Wing::Frozen);
    }

    #[test]
    fn the_adaptive_wing_is_copied_and_stays_independent() {
        let device = Device::flex();
        let mut norm = TwinsBatchNormConfig::new(2).init(&device);
        let values = |at: f32| Tensor::<1>::from_floats([at, at + 0.5], &device);
        norm.gamma = Param::from_tensor(values(1.0));
        norm.beta = Param::from_tensor(values(2.0));
        norm.running_mean = RunningState::new(values(3.0));
        norm.running_var = RunningState::new(values(4.0));
        let original = norm.clone();

        let copied = norm.copy_adaptive_to_frozen();
        let data = |param: &Param<Tensor<1>>| param.val().into_data();
        assert_eq!(data(copied.frozen_gamma.as_ref().expect("per wing")), TensorData::from([1.0f32, 1.5]));
        assert_eq!(data(copied.frozen_beta.as_ref().expect("per wing")), TensorData::from([2.0f32, 2.5]));
        assert_eq!(data(&copied.frozen_mean), TensorData::from([3.0f32, 3.5]));
        assert_eq!(data(&copied.frozen_var), TensorData::from([4.0f32, 4.5]));
        assert_eq!(data(&original.frozen_mean), TensorData::from([0.0f32, 0.0]));
    }

    #[test]
    fn the_copy_has_the_precision_of_the_adaptive_wing() {
        let device = Device::flex();
        let mut norm = TwinsBatchNormConfig::new(1).init(&device);
        // Single precision would round these.
        let third = |numerator: f64| TensorData::from([numerator / 3.0]);
        let value = |numerator: f64| Tensor::<1>::from_data(third(numerator), (&device, DType::F64));
        norm.gamma = Param::from_tensor(value(1.0));
        norm.beta = Param::from_tensor(value(2.0));
        norm.running_mean = RunningState::new(value(4.0));
        norm.running_var = RunningState::new(value(5.0));

        let copied = norm.copy_adaptive_to_frozen();
        let data = |param: &Param<Tensor<1>>| param.val().into_data();
        assert_eq!(data(copied.frozen_gamma.as_ref().expect("per wing")), third(1.0));
        assert_eq!(data(copied.frozen_beta.as_ref().expect("per wing")), third(2.0));
        assert_eq!(data(&copied.frozen_mean), third(4.0));
        assert_eq!(data(&copied.frozen_var), third(5.0));
        assert_eq!(copied.frozen_var.val().dtype(), DType::F64);
    }
}

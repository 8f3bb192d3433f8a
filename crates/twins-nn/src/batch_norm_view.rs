use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Device, Float, Int, Tensor, TensorData};

use crate::StatisticsError;
use crate::twins_module::LAYER;

/// The container that the derived [`Module`] reports for the fields of Burn's `BatchNorm`.
const BATCH_NORM: &str = "Struct:BatchNorm";

/// The containers whose gamma and beta an adapter for PyTorch's files also finds as `weight` and `bias`.
const NORMS: [&str; 4] = [BATCH_NORM, "Struct:LayerNorm", "Struct:GroupNorm", "Struct:RmsNorm"];

/// A view that presents a two-wing model to Burn's stores as the same model with `BatchNorm` layers.
///
/// The frozen wing is hidden. Each layer is reported as a `BatchNorm`, so that adapters also rename PyTorch's `weight`
/// and `bias` for it. Stores only map a model, so only [`map`](Module::map) hides anything.
#[derive(Clone, Debug)]
pub(crate) struct BatchNormView<M> {
    pub(crate) model: M,
    pub(crate) pass: Pass,
}

/// What a store does when it maps the view.
#[derive(Clone, Debug)]
pub(crate) enum Pass {
    /// Records what a store would load, and leaves the model unchanged.
    Check(Findings),
    /// Loads the values into the model.
    Load,
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) slots: Vec<Slot>,
    /// The first impossible mean or variance in the store: not finite, or a variance below zero.
    pub(crate) statistics: Option<StatisticsError>,
}

/// A parameter or running statistic of the model.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) path: String,
    /// The path without enum variants, which stores can leave out.
    pub(crate) plain_path: String,
    pub(crate) shape: Vec<usize>,
    /// Whether it belongs to one of [`NORMS`].
    pub(crate) in_norm: bool,
    pub(crate) filled: bool,
}

impl<M: Module> BatchNormView<M> {
    fn with_model(self, change: impl FnOnce(M) -> M) -> Self {
        Self { model: change(self.model), pass: self.pass }
    }
}

/// Implemented by hand: a derived implementation would prefix the paths of the model's parameters with the name of the
/// field.
impl<M: Module> Module for BatchNormView<M> {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.model.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        self.with_model(|model| model.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.with_model(|model| model.to_device(device))
    }

    fn train(self) -> Self {
        self.with_model(Module::train)
    }

    fn valid(&self) -> Self {
        Self { model: self.model.valid(), pass: self.pass.clone() }
    }

    fn materialize(self) -> Self {
        self.with_model(Module::materialize)
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.model.visit(visitor);
    }

    fn map<V: ModuleMapper>(self, mapper: &mut V) -> Self {
        let Self { model, mut pass } = self;
        let model = model.map(&mut Map { mapper, pass: &mut pass, path: Vec::new(), hidden: false });
        Self { model, pass }
    }
}

struct Map<'a, V> {
    mapper: &'a mut V,
    pass: &'a mut Pass,
    /// The names entered so far, each with its container.
    path: Vec<(String, String)>,
    /// Whether a field of the frozen wing is being mapped. These fields hold no modules.
    hidden: bool,
}

fn reported(container: &str) -> &str {
    if container == LAYER { BATCH_NORM } else { container }
}

impl<V> Map<'_, V> {
    /// Records what the store would load into the parameter that is being mapped.
    fn note(&mut self, shape: Vec<usize>, loaded: Option<TensorData>) {
        let joined = |keep: fn(&str) -> bool| {
            let names = self.path.iter().filter(|(_, container)| keep(container));
            names.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".")
        };
        let (path, plain_path) = (joined(|_| true), joined(|container| !container.starts_with("Enum:")));
        let (field, container) = self.path.last().map_or(("", ""), |(name, container)| (name, container));
        let Pass::Check(findings) = &mut *self.pass else { return };
        if let Some(data) = loaded.as_ref().filter(|_| container == LAYER && findings.statistics.is_none()) {
            findings.statistics = StatisticsError::find(&path, field, data);
        }
        let in_norm = NORMS.contains(&reported(container));
        findings.slots.push(Slot { path, plain_path, shape, in_norm, filled: loaded.is_some() });
    }
}

/// A check passes an uninitialised stand-in to the store's mapper. The stand-in comes back with a value if and only if
/// the store would load one.
macro_rules! map_kind {
    ($method:ident, $kind:ty) => {
        fn $method<const D: usize>(&mut self, param: Param<Tensor<D, $kind>>) -> Param<Tensor<D, $kind>> {
            if self.hidden {
                return param;
            }
            let Pass::Check(_) = self.pass else { return self.mapper.$method(param) };
            let (shape, device) = (param.lazy_shape(), param.lazy_device());
            let dims: [usize; D] = shape.dims();
            let empty = move |device: &Device, _| Tensor::<D, $kind>::empty(dims, device);
            let stand_in = Param::uninitialized(param.id, empty, device, false, shape.clone());
            let mapped = self.mapper.$method(stand_in);
            let loaded = mapped.is_initialized().then(|| mapped.val().into_data());
            self.note(shape.to_vec(), loaded);
            param
        }
    };
}

impl<V: ModuleMapper> ModuleMapper for Map<'_, V> {
    map_kind!(map_float, Float);
    map_kind!(map_int, Int);
    map_kind!(map_bool, Bool);

    fn enter_module(&mut self, name: &str, container: &str) {
        self.hidden = container == LAYER && name.starts_with("frozen");
        self.path.push((name.to_owned(), container.to_owned()));
        if !self.hidden {
            self.mapper.enter_module(name, reported(container));
        }
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.path.pop();
        if !std::mem::take(&mut self.hidden) {
            self.mapper.exit_module(name, reported(container));
        }
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag
    }
}

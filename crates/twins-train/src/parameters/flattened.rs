use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Collects the float tensors of a model whose paths are wanted, flattened and without autodiff.
pub(crate) fn flattened<M: Module>(model: &M, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Tensor<1>> {
    let mut floats = Floats { path: Vec::new(), wanted, tensors: BTreeMap::new() };
    // Without valid(), the running statistics of Burn's own layers would lag one update behind.
    model.valid().visit(&mut floats);
    floats.tensors
}

struct Floats<F> {
    path: Vec<String>,
    wanted: F,
    tensors: BTreeMap<String, Tensor<1>>,
}

impl<F: Fn(&str) -> bool> ModuleVisitor for Floats<F> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        if (self.wanted)(&path) {
            let value = param.val();
            let elements = value.dims().iter().product::<usize>();
            self.tensors.insert(path, value.reshape([elements]));
        }
    }
}

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// The squared norm of each parameter's gradient. The values are still on the device, so that a single transfer reads
/// all of them.
pub(crate) struct SquaredNorms {
    pub(crate) paths: Vec<String>,
    pub(crate) values: Vec<Tensor<1>>,
}

impl SquaredNorms {
    pub(crate) fn of<M: Module>(model: &M, gradients: &GradientsParams) -> Self {
        let mut visitor = Visitor { gradients, path: Vec::new(), paths: Vec::new(), values: Vec::new() };
        model.visit(&mut visitor);
        Self { paths: visitor.paths, values: visitor.values }
    }
}

struct Visitor<'a> {
    gradients: &'a GradientsParams,
    path: Vec<String>,
    paths: Vec<String>,
    values: Vec<Tensor<1>>,
}

impl ModuleVisitor for Visitor<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let gradient = gradient.inner();
            self.paths.push(self.path.join("."));
            self.values.push((gradient.clone() * gradient).sum());
        }
    }
}

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Finds the path of the first parameter or running statistic, in the model's order, that contains a NaN or an
/// infinity.
pub(crate) fn first_non_finite<M: Module>(model: &M) -> Option<String> {
    let mut search = Search { path: Vec::new(), found: None };
    // Without valid(), the running statistics of Burn's own layers would lag one update behind.
    model.valid().visit(&mut search);
    search.found
}

/// Describes the parameter or running statistic in an error.
pub(crate) fn in_words(path: &str) -> String {
    format!("the first weight or statistic that is not finite is \"{path}\"")
}

struct Search {
    path: Vec<String>,
    found: Option<String>,
}

impl ModuleVisitor for Search {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.is_none() && !param.val().into_data().iter::<f64>().all(f64::is_finite) {
            self.found = Some(self.path.join("."));
        }
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
        layer: Linear,
        head: Linear,
    }

    #[test]
    fn the_first_in_the_models_order_is_found() {
        let device = Device::flex().autodiff();
        let linear = |value: f32| {
            let mut linear = LinearConfig::new(2, 2).init(&device);
            linear.weight = linear.weight.map(|weight| weight.slice_fill([1..2, 0..1], value));
            linear
        };
        let net = |layer: f32, head: f32| Net {
            norm: BatchNormConfig::new(2).init(&device),
            layer: linear(layer),
            head: linear(head),
        };
        assert_eq!(first_non_finite(&net(f32::MAX, f32::MIN_POSITIVE)), None);
        assert_eq!(first_non_finite(&net(0.0, f32::NAN)).unwrap(), "head.weight");
        assert_eq!(first_non_finite(&net(f32::NEG_INFINITY, f32::NAN)).unwrap(), "layer.weight");
        let net = net(0.0, f32::INFINITY);
        net.norm.running_var.update(Tensor::from_floats([1.0, f32::INFINITY], &device.inner()));
        assert_eq!(first_non_finite(&net).unwrap(), "norm.running_var");
    }
}

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Why the head of a model cannot be determined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The model has no linear layer.
    #[error(
        "the model has no Linear layer that could be its head; return the path of the layer that gives the logits from \
         ImageClassifier::head"
    )]
    NoCandidate,
    /// Several layers could be the head.
    #[error(
        "the model has several Linear layers, any of which could be its head: {}; return the path of the one that gives the \
         logits from ImageClassifier::head",
        candidates.join(", ")
    )]
    Ambiguous {
        /// The linear layers, each with its numbers of inputs and outputs.
        candidates: Vec<String>,
    },
}

/// The path of the model's only linear layer.
pub(crate) fn only_linear<M: Module>(model: &M) -> Result<String, HeadError> {
    let mut layers = LinearLayers::default();
    model.visit(&mut layers);
    match &layers.found[..] {
        [] => Err(HeadError::NoCandidate),
        [(path, _)] => Ok(path.clone()),
        several => {
            let describe =
                |(path, [inputs, outputs]): &(String, [usize; 2])| format!("{path} ({inputs} → {outputs})");
            Err(HeadError::Ambiguous { candidates: several.iter().map(describe).collect() })
        }
    }
}

/// The linear layers of a model, with their numbers of inputs and outputs.
#[derive(Default)]
struct LinearLayers {
    path: Vec<String>,
    in_linear: bool,
    found: Vec<(String, [usize; 2])>,
}

impl ModuleVisitor for LinearLayers {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.in_linear = container == "Struct:Linear";
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.in_linear = false;
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // This is the weight: biases have one axis.
        if let [inputs, outputs] = param.lazy_shape()[..]
            && self.in_linear
        {
            self.found.push((self.path[..self.path.len() - 1].join("."), [inputs, outputs]));
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;
    use crate::ImageClassifier;

    /// A model whose auxiliary layer is visited after its head, and which does not say which is which.
    #[derive(Module, Debug)]
    struct Unnamed {
        heads: Vec<Linear>,
        auxiliary: Option<Linear>,
    }

    impl ImageClassifier for Unnamed {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            self.heads[0].forward(images.flatten(1, 3))
        }
    }

    #[test]
    fn the_only_linear_layer_is_the_head() {
        let linear = || LinearConfig::new(12, 5).init(&Device::flex());
        let model = |heads, auxiliary| Unnamed { heads, auxiliary };
        assert_eq!(model(vec![linear()], None).head(), Ok("heads.0".to_owned()));
        assert_eq!(model(vec![], Some(linear())).head(), Ok("auxiliary".to_owned()));
        assert_eq!(model(vec![], None).head(), Err(HeadError::NoCandidate));
    }

    #[test]
    fn several_linear_layers_are_ambiguous() {
        let linear = |outputs| LinearConfig::new(12, outputs).init(&Device::flex());
        let message =
            Unnamed { heads: vec![linear(5)], auxiliary: Some(linear(4)) }.head().unwrap_err().to_string();
        assert!(message.contains("heads.0 (12 → 5), auxiliary (12 → 4)"), "{message}");
        assert!(message.contains("ImageClassifier::head"), "{message}");
    }
}

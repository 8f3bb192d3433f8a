use std::collections::BTreeSet;

use burn::module::{Flag, Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use twins_nn::ImageClassifier;

use crate::error::TrainError;

/// The container name that Burn's derived modules report for the fields of a two-wing layer.
pub(crate) const TWO_WINGS: &str = "Struct:TwinsBatchNorm";
/// The container name for the fields of Burn's own batch normalisation.
pub(crate) const BATCH_NORM: &str = "Struct:BatchNorm";

/// Whether a path equals a prefix or lies under it.
pub(crate) fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(parent, _)| parent)
}

/// The parameters, running statistics and flags of a model.
#[derive(Default)]
pub(crate) struct Survey {
    path: Vec<String>,
    /// The paths of all float tensors: parameters and running statistics.
    pub(crate) paths: Vec<String>,
    /// The paths of the parameters that require gradients.
    pub(crate) trainable: BTreeSet<String>,
    /// The paths of the flags that are set.
    pub(crate) active: BTreeSet<String>,
    /// The path of the first layer that is Burn's own batch normalisation.
    pub(crate) stock_batch_norm: Option<String>,
}

impl Survey {
    pub(crate) fn of<M: Module>(model: &M) -> Self {
        let mut survey = Self::default();
        model.visit(&mut survey);
        survey
    }

    /// The path of the model's head. Checks that there are parameters under it.
    pub(crate) fn head_of<M: ImageClassifier>(&self, model: &M) -> Result<String, TrainError> {
        let path = model.head()?;
        if self.paths.iter().any(|parameter| is_under(parameter, &path)) {
            Ok(path)
        } else {
            Err(TrainError::NoSuchHead { path, known: self.layers() })
        }
    }

    /// The paths of the model's layers.
    pub(crate) fn layers(&self) -> Vec<String> {
        let mut layers: Vec<String> = self.paths.iter().map(|path| parent(path).to_owned()).collect();
        layers.dedup();
        layers
    }
}

impl ModuleVisitor for Survey {
    fn enter_module(&mut self, name: &str, container: &str) {
        if container == BATCH_NORM && self.stock_batch_norm.is_none() {
            self.stock_batch_norm = Some(self.path.join("."));
        }
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        if param.val().is_require_grad() {
            self.trainable.insert(path.clone());
        }
        self.paths.push(path);
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        if flag.is_enabled() {
            self.active.insert(self.path.join("."));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_path_boundaries() {
        assert!(is_under("layer1.0.conv.weight", "layer1"));
        assert!(is_under("layer1", "layer1"));
        assert!(!is_under("layer10.conv.weight", "layer1"));
    }
}

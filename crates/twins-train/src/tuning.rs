use std::collections::BTreeSet;

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use twins_nn::{TwinsModule, Wing};

use crate::branched::BRANCH;
use crate::{ImageClassifier, ProbeConfig, TrainError};

/// Which part of the model is trained.
///
/// While only the head is trained, every normalisation runs in evaluation mode: the adaptive wing with its running
/// statistics, which do not move. The model says which layer is its head: [`ImageClassifier::head`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Tuning {
    /// Everything.
    Full,
    /// The head alone, by the configured method.
    LinearProbe,
    /// The head alone first, with plain cross-entropy on adversarial examples, then everything by the configured method:
    /// robust linear initialisation (Hua et al., "Initialization Matters for Adversarial Transfer Learning", CVPR 2024,
    /// section 4).
    ///
    /// The full phase begins like a training of its own from the probe's last weights. Schedule, warm-up and
    /// the warm-up of a weight perturbation count from its first epoch; momentum, averaged weights and the counts of
    /// early stopping and plateaus start anew. The probe perturbs no weights and is not stopped early. The best
    /// checkpoint is that of all epochs, those of the probe included.
    ProbeThenFull(ProbeConfig),
}

impl Tuning {
    fn probes(&self, epoch: usize) -> bool {
        match self {
            Self::Full => false,
            Self::LinearProbe => true,
            Self::ProbeThenFull(probe) => epoch < probe.epochs,
        }
    }
}

/// Decides for every epoch which parameters are trained.
pub(crate) struct Scope {
    tuning: Tuning,
    /// Path prefixes that are never trained.
    frozen: Vec<String>,
    head: Option<String>,
    /// The parameters that the model given wanted to train.
    trainable: BTreeSet<String>,
    /// Its flags that were up: dropout and stock batch normalisation that behave as during training.
    active: BTreeSet<String>,
}

impl Scope {
    pub(crate) fn of<M: ImageClassifier>(
        model: &M,
        tuning: &Tuning,
        frozen: &[String],
    ) -> Result<Self, TrainError> {
        let survey = Survey::of(model);
        for prefix in frozen {
            if !survey.paths.iter().any(|path| is_under(path, prefix)) {
                return Err(TrainError::NothingToFreeze { prefix: prefix.clone(), known: survey.layers() });
            }
        }
        let head = if *tuning == Tuning::Full { None } else { Some(survey.head_of(model)?) };
        let Survey { trainable, active, paths, .. } = survey;
        let scope = Self { tuning: tuning.clone(), frozen: frozen.to_vec(), head, trainable, active };
        let probing = *tuning == Tuning::LinearProbe;
        match paths.iter().any(|path| scope.trains(path, probing)) {
            true => Ok(scope),
            false => Err(TrainError::NothingToTrain),
        }
    }

    /// Returns the model as the epoch trains it; `wing` is that of the objective.
    pub(crate) fn apply<M: Module>(&self, model: M, epoch: usize, wing: Wing) -> M {
        let probing = self.tuning.probes(epoch);
        let model = model.with_wing(if probing { Wing::Adaptive } else { wing });
        let mut apply = Apply { scope: self, probing, path: Vec::new(), containers: Vec::new() };
        model.map(&mut apply)
    }

    fn trains(&self, path: &str, probing: bool) -> bool {
        let in_head = self.head.as_ref().is_some_and(|head| is_under(path, head));
        self.trainable.contains(path) && (in_head || !probing) && !self.freezes(path)
    }

    fn freezes(&self, path: &str) -> bool {
        self.frozen.iter().any(|prefix| is_under(path, prefix))
    }
}

/// Whether a parameter's path is a prefix or lies under it.
pub(crate) fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(parent, _)| parent)
}

/// What a model consists of.
#[derive(Default)]
pub(crate) struct Survey {
    path: Vec<String>,
    /// Every float: parameters and running statistics.
    pub(crate) paths: Vec<String>,
    /// The parameters that are to be trained.
    pub(crate) trainable: BTreeSet<String>,
    /// The flags that are up.
    active: BTreeSet<String>,
}

impl Survey {
    pub(crate) fn of<M: Module>(model: &M) -> Self {
        let mut survey = Self::default();
        model.visit(&mut survey);
        survey
    }

    /// The path of the model's head, under which there are parameters.
    pub(crate) fn head_of<M: ImageClassifier>(&self, model: &M) -> Result<String, TrainError> {
        let path = model.head()?;
        if self.paths.iter().any(|parameter| is_under(parameter, &path)) {
            Ok(path)
        } else {
            Err(TrainError::NoSuchHead { path, known: self.layers() })
        }
    }

    /// The paths of the model's layers.
    fn layers(&self) -> Vec<String> {
        let paths = self.paths.iter().filter(|path| !is_under(path, BRANCH));
        let mut layers: Vec<String> = paths.map(|path| parent(path).to_owned()).collect();
        layers.dedup();
        layers
    }
}

impl ModuleVisitor for Survey {
    fn enter_module(&mut self, name: &str, _container: &str) {
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

struct Apply<'a> {
    scope: &'a Scope,
    probing: bool,
    path: Vec<String>,
    containers: Vec<String>,
}

impl ModuleMapper for Apply<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.to_owned());
        self.containers.push(container.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
        self.containers.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let train = self.scope.trains(&self.path.join("."), self.probing);
        match param.val().is_require_grad() == train {
            true => param,
            false => param.set_require_grad(train),
        }
    }

    /// Two-wing layers have been set as a whole model; here are those of frozen parts, and stock batch normalisation and
    /// dropout, which rest while probing and are as the model given had them otherwise: a flag that is lowered stays down.
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        let path = self.path.join(".");
        let two_wing = self.containers.last().is_some_and(|container| container == "Struct:TwinsBatchNorm");
        match self.scope.freezes(&path) {
            true => flag.with_value(false),
            false if two_wing => flag,
            false => flag.with_value(!self.probing && self.scope.active.contains(&path)),
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

    #[test]
    fn probe_comes_first() {
        let tuning = Tuning::ProbeThenFull(ProbeConfig::new(2));
        assert_eq!([0, 1, 2].map(|epoch| tuning.probes(epoch)), [true, true, false]);
        assert!(Tuning::LinearProbe.probes(99) && !Tuning::Full.probes(0));
    }
}

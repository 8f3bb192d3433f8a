use std::collections::BTreeSet;

use burn::module::{Flag, Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use twins_nn::{ImageClassifier, TwinsModule, Wing};

use crate::config::Tuning;
use crate::error::TrainError;
use crate::objectives::TrainingModel;
use crate::parameters::{BATCH_NORM, Survey, TWO_WINGS, is_under};

/// Determines for every epoch which parameters are trained.
pub(crate) struct Scope {
    tuning: Tuning,
    /// Path prefixes that are never trained.
    frozen: Vec<String>,
    head: Option<String>,
    /// The paths of the parameters that require gradients in the given model.
    trainable: BTreeSet<String>,
    /// The paths of the flags that are set in the given model: dropout and Burn's own batch normalisation in training
    /// mode.
    active: BTreeSet<String>,
}

impl Scope {
    pub(crate) fn of<M: ImageClassifier>(
        model: &TrainingModel<M>,
        tuning: &Tuning,
        frozen: &[String],
    ) -> Result<Self, TrainError> {
        let survey = Survey::of(&model.model);
        for prefix in frozen {
            if !survey.paths.iter().any(|path| is_under(path, prefix)) {
                return Err(TrainError::NothingToFreeze { prefix: prefix.clone(), known: survey.layers() });
            }
        }
        let head = if *tuning == Tuning::Full { None } else { Some(survey.head_of(&model.model)?) };
        let Survey { trainable, active, paths, .. } = Survey::of(model);
        let scope = Self { tuning: tuning.clone(), frozen: frozen.to_vec(), head, trainable, active };
        // A probe trains less than the full phase after it.
        let probing = scope.tuning.probes(0);
        match paths.iter().any(|path| scope.trains(path, probing)) {
            true => Ok(scope),
            false => Err(TrainError::NothingToTrain),
        }
    }

    /// Returns the model with the wing, the trained parameters and the flags of the epoch. `wing` is that of the
    /// objective.
    pub(crate) fn apply<M: Module>(&self, model: M, epoch: usize, wing: Wing) -> M {
        let probing = self.tuning.probes(epoch);
        let wing = if probing { Wing::Adaptive } else { wing };
        let batch_statistics = matches!(wing, Wing::AdaptiveTraining | Wing::Split);
        let model = model.with_wing(wing);
        let mut apply =
            Apply { scope: self, probing, batch_statistics, path: Vec::new(), containers: Vec::new() };
        model.map(&mut apply)
    }

    /// Returns the model with the trainable parameters and the flags of the given model, so that another training can train what
    /// this one froze. The wing is kept.
    pub(crate) fn restore<M: Module>(self, model: M) -> M {
        let given = Self { frozen: Vec::new(), ..self };
        let mut apply = Apply {
            scope: &given,
            probing: false,
            batch_statistics: true,
            path: Vec::new(),
            containers: Vec::new(),
        };
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

struct Apply<'a> {
    scope: &'a Scope,
    probing: bool,
    /// Whether the objective uses batch statistics.
    batch_statistics: bool,
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

    /// Sets the flags of frozen parts, of Burn's own batch normalisation and of dropout. The flags of two-wing layers have
    /// been set already.
    ///
    /// A flag that is not set in the given model remains unset. Dropout is inactive in a probe. Burn's own batch
    /// normalisation runs in evaluation mode in a probe and with objectives that do not use batch statistics.
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        let path = self.path.join(".");
        if self.scope.freezes(&path) {
            return flag.with_value(false);
        }
        let active = self.scope.active.contains(&path) && !self.probing;
        match self.containers.last().map(String::as_str) {
            Some(TWO_WINGS) => flag,
            Some(BATCH_NORM) => flag.with_value(active && self.batch_statistics),
            _ => flag.with_value(active),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};
    use burn::tensor::{Device, Tensor};
    use twins_nn::{TwinsBatchNorm, TwinsBatchNormConfig};

    use super::*;

    #[derive(Module, Debug)]
    struct Net {
        stock: BatchNorm,
        wings: TwinsBatchNorm,
        dropout: Dropout,
        hidden: Linear,
        head: Linear,
    }

    impl ImageClassifier for Net {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            let x = self.stock.forward(self.wings.forward(images)).flatten::<2>(1, 3);
            self.head.forward(self.dropout.forward(self.hidden.forward(x)))
        }

        fn head(&self) -> Result<String, twins_nn::HeadError> {
            Ok("head".to_owned())
        }
    }

    #[test]
    fn the_given_model_can_be_trained_again_as_a_whole() {
        let device = Device::flex().autodiff();
        let mut net = Net {
            stock: BatchNormConfig::new(1).init(&device),
            wings: TwinsBatchNormConfig::new(1).init(&device),
            dropout: DropoutConfig::new(0.5).init(),
            hidden: LinearConfig::new(4, 4).init(&device),
            head: LinearConfig::new(4, 2).init(&device),
        };
        // What the caller has frozen stays so.
        net.hidden.weight = net.hidden.weight.set_require_grad(false);
        let model = TrainingModel::from(net.with_wing(Wing::Adaptive));
        let parts = |model: &TrainingModel<Net>| {
            let Survey { trainable, active, .. } = Survey::of(model);
            (trainable, active)
        };
        let given = parts(&model);
        let freeze = vec!["stock".to_owned(), "hidden".to_owned()];
        for (tuning, frozen) in [(Tuning::LinearProbe, Vec::new()), (Tuning::Full, freeze)] {
            let scope = Scope::of(&model, &tuning, &frozen).unwrap();
            let applied = scope.apply(model.clone(), 0, Wing::Adaptive);
            assert_ne!(parts(&applied), given);
            assert_eq!(parts(&scope.restore(applied).valid().train()), given);
        }
    }
}

use serde::{Deserialize, Serialize};
use twins_nn::{ImageClassifier, Wing};

use super::divergence::divergence;
use super::epoch_start::EpochStart;
use super::low_rank::{Branch, add_changes};
use super::mixed_precision::logits_of;
use super::objective::{Loss, Objective, TrainingBatch};
use super::parameters::ObjectiveParameters;
use crate::error::TrainError;
use crate::metrics::Accuracy;
use crate::parameters::Survey;

/// AutoLoRa: clean images train a low-rank branch, and adversarial examples train the model, with the predictions of
/// the branch as soft labels.
///
/// ```text
/// L = l₁ · CE(h(x), y) + (1 − l₁) · CE(f(x'), y) + l₂ · KL(softmax h(x) ‖ softmax f(x'))
/// weight of h = weight of f + b · a / rank
/// ```
///
/// Where f is the model and h its natural branch, that is, the model with a low-rank change of the backbone's weights and the
/// same head. The natural pass runs before the adversarial pass; both use the same normalisation layers and update their
/// running statistics. Gradients of h reach only the branch and the head. Gradients of the divergence flow through both of
/// its arguments. Source: Xu, Zhang, Kankanhalli, "AutoLoRA: An Automated Robust Fine-Tuning Framework", ICLR 2024, as
/// implemented in the authors' code.
///
/// The weights of the branch are the [`parameters`](Objective::parameters) of this objective: `PATH.a` `[rank, columns]` and
/// `PATH.b` `[rows, rank]` for every trained weight of rank 2 or more outside the head ([`ImageClassifier::head`]). Such a
/// weight is treated as a matrix whose rows are the first axis and whose columns are all other axes. `a` is drawn from the
/// standard normal distribution and `b` is zero, so the branch initially equals the model. The division by the rank and the
/// initial values follow the authors' code. In that code, however, the matrix of a k × k convolution is
/// `[k · outputs, k · inputs]` with rank k · `rank`, and the stem has no low-rank change.
///
/// At the start of every epoch, l₁ and l₂ are computed from the branch's clean accuracy; see
/// [`AutoLoraConfig::loss_weights`].
#[derive(Clone, Debug, PartialEq)]
pub struct AutoLora {
    config: AutoLoraConfig,
    seed: u64,
    frozen: Vec<String>,
    weights: AutoLoraWeights,
}

/// The weights of the terms of [`AutoLora`]'s loss in an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutoLoraWeights {
    /// l₁, the weight of the branch's cross-entropy, in [0, 1].
    pub natural: f64,
    /// l₂, the weight of the divergence.
    pub divergence: f64,
}

impl AutoLora {
    /// The name of the branch's accuracy in [`EpochMetrics::objective_accuracies`](crate::EpochMetrics::objective_accuracies).
    pub const NATURAL_BRANCH: &'static str = "natural_branch";

    /// Creates the objective. Before the first epoch, the weights of the loss are those of a branch with accuracy 0.
    pub fn new(config: AutoLoraConfig) -> Self {
        let weights = config.loss_weights(Accuracy::default());
        Self { config, seed: 0, frozen: Vec::new(), weights }
    }

    /// Sets the seed of the branch's initial factors.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the path prefixes of weights that are never trained. These weights have no low-rank change.
    #[must_use]
    pub fn with_frozen(mut self, prefixes: Vec<String>) -> Self {
        self.frozen = prefixes;
        self
    }

    /// Sets the weights of the loss's terms. [`begin_epoch`](Objective::begin_epoch) replaces them.
    #[must_use]
    pub fn with_loss_weights(mut self, weights: AutoLoraWeights) -> Self {
        self.weights = weights;
        self
    }

    /// Returns the natural branch h, that is, the model with the weights of the branch. Gradients flow to the branch and
    /// to the head; all other parameters are detached. The branch shares its running statistics with the model.
    ///
    /// # Errors
    ///
    /// [`TrainError::Head`] if the model does not name its head.
    pub fn natural<M: ImageClassifier>(model: &M, parameters: &ObjectiveParameters) -> Result<M, TrainError> {
        Ok(add_changes(model.clone(), parameters, &model.head()?))
    }
}

impl<M: ImageClassifier> Objective<M> for AutoLora {
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    /// Creates the factors of the branch.
    ///
    /// # Errors
    ///
    /// A rank of 0, a rank larger than the smaller side of a weight's matrix, a model that does not name its head, or a
    /// model without a weight to change.
    fn parameters(&self, model: &M) -> Result<ObjectiveParameters, TrainError> {
        let rank = self.config.rank;
        if rank == 0 {
            return Err(TrainError::Zero { name: "auto_lora.rank" });
        }
        let head = Survey::of(model).head_of(model)?;
        let branch = Branch { rank, head: &head, frozen: &self.frozen, seed: self.seed };
        let factors = branch.factors(model)?;
        if factors.is_empty() { Err(TrainError::NothingToBranch) } else { Ok(factors) }
    }

    fn begin_epoch(&mut self, epoch: &mut EpochStart<'_, M>) -> Result<(), TrainError> {
        let natural = Self::natural(epoch.model, epoch.parameters)?;
        self.weights = self.config.loss_weights(epoch.accuracy(Self::NATURAL_BRANCH, &natural)?);
        Ok(())
    }

    /// Computes the loss with an empty branch, whose natural pass uses the model's own weights.
    ///
    /// # Panics
    ///
    /// If the model does not name its head; [`parameters`](Objective::parameters) returns an error for such a model.
    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        self.loss_with_parameters(model, &ObjectiveParameters::default(), batch)
    }

    fn loss_with_parameters(
        &self,
        model: &M,
        parameters: &ObjectiveParameters,
        batch: &TrainingBatch,
    ) -> Loss {
        let AutoLoraWeights { natural: natural_weight, divergence: divergence_weight } = self.weights;
        let natural = Self::natural(model, parameters).expect("the branch was made for the model's head");
        let natural = logits_of(&natural, batch.clean.clone());
        let logits = logits_of(model, batch.adversarial.clone());
        let total = batch.targets.clone().cross_entropy(natural.clone()).mul_scalar(natural_weight)
            + batch.targets.clone().cross_entropy(logits.clone()).mul_scalar(1.0 - natural_weight)
            + divergence(natural, logits.clone()).mul_scalar(divergence_weight);
        Loss { adaptive: total.clone(), total, frozen: None, logits }
    }
}

/// The settings of [`AutoLora`]: the rank of its branch and the schedule of its two weights.
///
/// ```text
/// l₁ = 1 − s^alpha,   l₂ = divergence · s^alpha
/// ```
///
/// Where s is the branch's clean accuracy on the training images, measured at the start of an epoch, in evaluation mode
/// and without augmentation. The authors' code always uses alpha = 1 and measures at the same times, but with
/// augmentation.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `rank` | 8 | rank of the branch, at most the smaller side of every weight's matrix | ≥ 1 |
/// | `divergence` | 6 | largest weight of the divergence | ≥ 0 |
/// | `alpha` | 1 | exponent of the accuracy | > 0 |
///
/// ```
/// use twins_train::{Accuracy, AutoLoraConfig};
///
/// let weights = AutoLoraConfig::default().loss_weights(Accuracy { correct: 3, total: 4 });
/// assert_eq!((weights.natural, weights.divergence), (0.25, 4.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AutoLoraConfig {
    /// Rank of the branch.
    pub rank: usize,
    /// Largest weight of the divergence.
    pub divergence: f64,
    /// Exponent of the accuracy.
    pub alpha: f64,
}

impl Default for AutoLoraConfig {
    fn default() -> Self {
        Self { rank: 8, divergence: 6.0, alpha: 1.0 }
    }
}

impl AutoLoraConfig {
    /// Creates the published settings with another rank.
    pub fn new(rank: usize) -> Self {
        Self { rank, ..Self::default() }
    }

    /// Computes the weights of the loss for a given clean accuracy of the branch.
    pub fn loss_weights(&self, natural: Accuracy) -> AutoLoraWeights {
        let trust = natural.fraction().powf(self.alpha);
        AutoLoraWeights { natural: 1.0 - trust, divergence: self.divergence * trust }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, Tensor};
    use twins_nn::HeadError;

    use super::*;
    use crate::config::{Method, TrainConfig};
    use crate::objectives::TrainingModel;

    #[derive(Module, Debug)]
    struct Net {
        hidden: Linear,
        norm: BatchNorm,
        head: Linear,
    }

    impl ImageClassifier for Net {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            self.head.forward(self.norm.forward(self.hidden.forward(images.flatten(1, 3))))
        }

        fn head(&self) -> Result<String, HeadError> {
            Ok("head".to_owned())
        }
    }

    fn net() -> Net {
        let device = Device::flex().autodiff();
        Net {
            hidden: LinearConfig::new(4, 3).init(&device),
            norm: BatchNormConfig::new(3).init(&device),
            head: LinearConfig::new(3, 2).init(&device),
        }
    }

    fn images() -> Tensor<4> {
        let images = [[[[0.1, 0.9], [0.4, 0.2]]], [[[0.8, 0.3], [0.5, 0.7]]]];
        Tensor::from_floats(images, &Device::flex().autodiff())
    }

    fn branch(net: &Net, rank: usize, frozen: &[&str]) -> Result<ObjectiveParameters, TrainError> {
        let frozen = frozen.iter().map(|path| (*path).to_owned()).collect();
        AutoLora::new(AutoLoraConfig::new(rank)).with_frozen(frozen).parameters(net)
    }

    #[test]
    fn alpha_is_the_exponent_of_the_accuracy() {
        let config = AutoLoraConfig { alpha: 2.0, ..AutoLoraConfig::default() };
        let weights = config.loss_weights(Accuracy { correct: 1, total: 2 });
        // 1 − ¼ and 6 · ¼, exact in binary.
        assert_eq!((weights.natural, weights.divergence), (0.75, 1.5));
    }

    #[test]
    fn the_loss_weighs_its_three_terms() {
        // In the inference form, where no logit depends on the other image.
        let net = net().valid();
        let (clean, adversarial) = (images().inner(), images().inner().flip([3]));
        let labels = Tensor::from_ints([0, 1], &Device::flex());
        let batch = TrainingBatch::new(clean.clone(), adversarial.clone(), labels);
        let weights = AutoLoraWeights { natural: 0.25, divergence: 100.0 };
        let objective = AutoLora::new(AutoLoraConfig::default()).with_loss_weights(weights);
        let found = objective.loss(&net, &batch).total.into_scalar::<f32>();
        // The branch is empty.
        let (natural, logits) = (net.logits(clean), net.logits(adversarial));
        let cross_entropy =
            |logits: &Tensor<2>| batch.targets.clone().cross_entropy(logits.clone()).into_scalar::<f32>();
        let (natural_loss, loss) = (cross_entropy(&natural), cross_entropy(&logits));
        let divergence = divergence(natural, logits).into_scalar::<f32>();
        let expected = 0.25 * natural_loss + 0.75 * loss + 100.0 * divergence;
        // Float32 rounding: the operations are the same, on the host instead of the device.
        assert!((found - expected).abs() <= 1e-6 * expected, "{found}, {expected}");
    }

    #[test]
    fn the_branch_is_drawn_from_the_seed_of_the_training() {
        let net = net();
        let drawn = |objective: &dyn Objective<Net>| {
            objective.parameters(&net).unwrap().get("hidden.weight.a").unwrap().into_data()
        };
        let of_training = |seed| {
            let config = TrainConfig::default().with_auto_lora(AutoLoraConfig::new(2)).with_seed(seed);
            drawn(Method::AutoLora.objective::<Net>(&config).as_ref())
        };
        let expected = drawn(&AutoLora::new(AutoLoraConfig::new(2)).with_seed(9));
        assert_eq!(of_training(9), expected);
        assert_ne!(of_training(8), expected);
    }

    #[test]
    fn the_branch_starts_as_the_model() {
        let net = net();
        let factors = branch(&net, 2, &[]).unwrap();
        assert_eq!(factors.names().collect::<Vec<_>>(), ["hidden.weight.a", "hidden.weight.b"]);
        let natural = AutoLora::natural(&net, &factors).unwrap();
        let logits = |net: &Net| net.valid().logits(images().inner()).into_data();
        assert_eq!(logits(&natural), logits(&net));
    }

    #[test]
    fn natural_gradients_reach_the_branch_and_the_head_alone() {
        let net = net();
        let model = TrainingModel { parameters: branch(&net, 2, &[]).unwrap(), model: net };
        let natural = AutoLora::natural(&model.model, &model.parameters).unwrap();
        let gradients = natural.logits(images()).powi_scalar(2).sum().backward();
        let [a, b] = ["hidden.weight.a", "hidden.weight.b"]
            .map(|name| model.parameters.get(name).unwrap().grad(&gradients).unwrap());
        // B is zero, so that A has no influence yet.
        assert_eq!(a.abs().max().into_scalar::<f32>(), 0.0);
        assert!(b.abs().max().into_scalar::<f32>() > 0.0);
        let Net { hidden, norm, head } = &model.model;
        let gradients = GradientsParams::from_grads(gradients, &model);
        assert!(gradients.get::<2>(hidden.weight.id).is_none());
        assert!(gradients.get::<1>(norm.gamma.id).is_none());
        assert!(gradients.get::<2>(head.weight.id).is_some());
        // The natural pass moved the running statistics, which are shared.
        let mean = model.model.valid().norm.running_mean.value();
        assert_ne!(mean.abs().max().into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn bad_ranks_are_named() {
        let fail = |rank, frozen: &[&str]| branch(&net(), rank, frozen).unwrap_err().to_string();
        let message = fail(4, &[]);
        assert!(message.contains("\"hidden.weight\" is a 4 × 3 matrix"), "{message}");
        assert!(message.contains("rank is 4") && message.contains("at most 3"), "{message}");
        assert!(fail(0, &[]).contains("auto_lora.rank is 0"));
        assert!(fail(1, &["hidden"]).contains("no weight"));
    }
}

mod changes;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor};
use burn::tensor::{Device, Tensor};
use twins_nn::{HeadError, ImageClassifier};

use super::low_rank::LowRank;
use crate::error::TrainError;
use crate::parameters::Survey;

/// What the branch's parameters stand under; no field of a struct can have this name.
pub(crate) const BRANCH: &str = "auto-lora";

/// A model with its natural branch: the same model with a low-rank change added to the weights of its backbone.
///
/// Its [`logits`](ImageClassifier::logits) and the names of its parameters are the model's, so that attack, evaluation
/// and inference see the model alone; [`natural`](Branched::natural) is the branch's view. The branch's own parameters
/// stand under `auto-lora.` followed by the weight's path: `a` `[rank, columns]` and `b` `[rows, rank]`, of a weight
/// seen as the matrix of its first axis and all others.
///
/// ```text
/// natural weight = w + b · a / rank
/// ```
///
/// Changed are the weights of rank 2 or more that are trained and do not belong to the head ([`ImageClassifier::head`]).
/// `a` is drawn from the standard normal distribution and `b` is zero, so that the branch starts as the model. Division by
/// the rank and the initial values are those of the authors' code, see [`AutoLora`](crate::AutoLora); there the
/// matrix of a k × k convolution is `[k · outputs, k · inputs]` with rank k · `rank`, and the stem has no change.
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use twins_nn::HeadError;
/// use twins_train::{Branched, ImageClassifier};
///
/// #[derive(Module, Debug)]
/// struct Net {
///     hidden: Linear,
///     head: Linear,
/// }
///
/// impl ImageClassifier for Net {
///     fn logits(&self, images: Tensor<4>) -> Tensor<2> {
///         self.head.forward(self.hidden.forward(images.flatten(1, 3)))
///     }
///
///     fn head(&self) -> Result<String, HeadError> {
///         Ok("head".to_owned())
///     }
/// }
///
/// # fn main() -> Result<(), twins_train::TrainError> {
/// let device = Device::flex().autodiff();
/// let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).init(&device);
/// let net = Net { hidden: linear(12, 8), head: linear(8, 5) };
/// let branched = Branched::new(net, 2, &[], 0)?;
/// let images = Tensor::ones([1, 3, 2, 2], &device);
/// let natural = branched.natural().logits(images.clone());
/// assert_eq!(natural.into_data(), branched.logits(images).into_data());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Branched<M> {
    model: M,
    /// By the path of the weight.
    changes: BTreeMap<String, LowRank>,
    head: Option<String>,
}

impl<M: ImageClassifier> Branched<M> {
    /// A model, on a device with autodiff, and its branch of the given rank, drawn from the seed. `frozen` are path
    /// prefixes that are never trained: their weights are not changed.
    ///
    /// # Errors
    ///
    /// A rank of 0, a rank above the smaller side of a weight's matrix, a model whose head is not known, or one in which no
    /// weight could be changed.
    pub fn new(model: M, rank: usize, frozen: &[String], seed: u64) -> Result<Self, TrainError> {
        if rank == 0 {
            return Err(TrainError::Zero { name: "auto_lora.rank" });
        }
        let survey = Survey::of(&model);
        let head = survey.head_of(&model)?;
        let changes = changes::create(&model, &survey, &head, rank, frozen, seed)?;
        if changes.is_empty() {
            return Err(TrainError::NothingToBranch);
        }
        Ok(Self { model, changes, head: Some(head) })
    }

    /// A model without a branch.
    pub(crate) fn plain(model: M) -> Self {
        Self { model, changes: BTreeMap::new(), head: None }
    }

    /// The model, without the branch.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model; the branch is dropped.
    pub fn into_model(self) -> M {
        self.model
    }

    /// The model with the branch's weights. Gradients flow to the branch and to the head; of the other parameters it has the
    /// values alone. Running statistics are the model's and shared with it.
    pub fn natural(&self) -> M {
        changes::apply(self.model.clone(), &self.changes, self.head.as_deref())
    }
}

impl<M: ImageClassifier> ImageClassifier for Branched<M> {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.model.logits(images)
    }

    fn head(&self) -> Result<String, HeadError> {
        self.model.head()
    }
}

impl<M: Module> Branched<M> {
    fn with_each(self, model: impl FnOnce(M) -> M, mut change: impl FnMut(LowRank) -> LowRank) -> Self {
        Self {
            model: model(self.model),
            changes: self.changes.into_iter().map(|(path, low_rank)| (path, change(low_rank))).collect(),
            head: self.head,
        }
    }
}

/// By hand, because a derived one would put the name of the field before those of the model's parameters.
impl<M: Module> Module for Branched<M> {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        let devices = self.model.collect_devices(devices);
        self.changes.values().fold(devices, |devices, change| change.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        self.with_each(|model| model.fork(device), |change| change.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.with_each(|model| model.to_device(device), |change| change.to_device(device))
    }

    fn train(self) -> Self {
        self.with_each(Module::train, Module::train)
    }

    fn valid(&self) -> Self {
        Self {
            model: self.model.valid(),
            changes: self.changes.iter().map(|(path, change)| (path.clone(), change.valid())).collect(),
            head: self.head.clone(),
        }
    }

    fn materialize(self) -> Self {
        self.with_each(Module::materialize, Module::materialize)
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.model.visit(visitor);
        visitor.enter_module(BRANCH, "Struct:Branched");
        for (path, change) in &self.changes {
            visitor.enter_module(path, "Struct:Branch");
            change.visit(visitor);
            visitor.exit_module(path, "Struct:Branch");
        }
        visitor.exit_module(BRANCH, "Struct:Branched");
    }

    fn map<V: ModuleMapper>(self, mapper: &mut V) -> Self {
        let model = self.model.map(mapper);
        mapper.enter_module(BRANCH, "Struct:Branched");
        let mut changes = BTreeMap::new();
        for (path, change) in self.changes {
            mapper.enter_module(&path, "Struct:Branch");
            let change = change.map(mapper);
            mapper.exit_module(&path, "Struct:Branch");
            changes.insert(path, change);
        }
        mapper.exit_module(BRANCH, "Struct:Branched");
        Self { model, changes, head: self.head }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use burn::optim::GradientsParams;

    use super::*;
    use crate::parameters::Weights;

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

    #[test]
    fn starts_as_the_model_and_leaves_its_names() {
        let branched = Branched::new(net(), 2, &[], 0).unwrap();
        let natural = branched.natural().valid().logits(images().inner());
        assert_eq!(natural.into_data(), branched.model().valid().logits(images().inner()).into_data());
        let names: Vec<String> = Weights::of(&branched).0.into_keys().collect();
        let mut expected: Vec<String> = Weights::of(&branched.into_model()).0.into_keys().collect();
        assert!(expected.iter().all(|name| !name.starts_with(BRANCH)));
        expected.extend(["a", "b"].map(|factor| format!("auto-lora.hidden.weight.{factor}")));
        expected.sort();
        assert_eq!(names, expected);
    }

    #[test]
    fn natural_gradients_reach_the_branch_and_the_head_alone() {
        let branched = Branched::new(net(), 2, &[], 0).unwrap();
        let loss = branched.natural().logits(images()).powi_scalar(2).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &branched);
        let (model, change) = (branched.model(), &branched.changes["hidden.weight"]);
        assert!(gradients.get::<2>(model.hidden.weight.id).is_none());
        assert!(gradients.get::<1>(model.norm.gamma.id).is_none());
        assert!(gradients.get::<2>(model.head.weight.id).is_some());
        let [a, b] = [&change.a, &change.b].map(|factor| gradients.get::<2>(factor.id).unwrap());
        // B is zero, so that A has no influence yet.
        assert_eq!(a.abs().max().into_scalar::<f32>(), 0.0);
        assert!(b.abs().max().into_scalar::<f32>() > 0.0);
        // The natural pass moved the running statistics, which are shared.
        assert_ne!(model.valid().norm.running_mean.value().abs().max().into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn bad_ranks_are_named() {
        let fail = |rank, frozen: &[&str]| {
            let frozen: Vec<String> = frozen.iter().map(|path| (*path).to_owned()).collect();
            Branched::new(net(), rank, &frozen, 0).unwrap_err().to_string()
        };
        let message = fail(4, &[]);
        assert!(message.contains("\"hidden.weight\" is a 4 × 3 matrix"), "{message}");
        assert!(message.contains("rank is 4") && message.contains("at most 3"), "{message}");
        assert!(fail(0, &[]).contains("auto_lora.rank is 0"));
        assert!(fail(1, &["hidden"]).contains("no weight"));
    }
}

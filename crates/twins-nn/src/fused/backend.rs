use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, ExtensionType, backend_extension};

use crate::wings::Activation;

/// A wing that normalises with given statistics. All tensors are `[channels]`; mean and variance are constants.
#[derive(Clone, Debug, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub struct FixedWing<B: Backend> {
    pub gamma: FloatTensor<B>,
    pub beta: FloatTensor<B>,
    pub mean: FloatTensor<B>,
    pub variance: FloatTensor<B>,
}

/// A wing that normalises with the batch's own statistics. Both tensors are `[channels]`.
#[derive(ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub struct BatchWing<B: Backend> {
    pub gamma: FloatTensor<B>,
    pub beta: FloatTensor<B>,
}

/// The wings that a batch goes through.
#[derive(ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum Wings<B: Backend> {
    Fixed(#[extension_type] FixedWing<B>),
    Batch(#[extension_type] BatchWing<B>),
    /// The first ⌊n/2⌋ samples go through the first wing, the rest through the second.
    Split(#[extension_type] FixedWing<B>, #[extension_type] BatchWing<B>),
}

/// A tensor that may be absent.
#[derive(Clone, Debug, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum Optional<B: Backend> {
    None,
    Some(FloatTensor<B>),
}

impl<B: Backend> Optional<B> {
    pub fn new(tensor: Option<FloatTensor<B>>) -> Self {
        tensor.map_or(Self::None, Self::Some)
    }

    pub fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::None => None,
            Self::Some(tensor) => Some(tensor),
        }
    }
}

/// The output, `[n, channels, ...]`, and the mean and biased variance of the batch wing if there is one,
/// `[channels]`.
#[derive(ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum Normalised<B: Backend> {
    Fixed(FloatTensor<B>),
    Batch { output: FloatTensor<B>, mean: FloatTensor<B>, variance: FloatTensor<B> },
}

/// A backend that computes both wings in one operation, in the form in which Burn's dispatcher calls it.
#[backend_extension(Flex: cfg(feature = "flex"), Cube: cfg(feature = "_cube"), Autodiff)]
pub trait NormBackend: Backend {
    fn two_wing_norm(
        input: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        #[extension_type] wings: Wings<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> Normalised<Self>;
}

/// The forward and backward pass of the operation on one backend.
pub trait NormKernels: Backend {
    /// What the forward pass saves for the backward pass.
    type Saved: Clone + Send + std::fmt::Debug + 'static;

    /// `wanted` lists the gradients that the backward pass will compute, and is `None` if there will be no
    /// backward pass.
    fn forward(
        input: FloatTensor<Self>,
        residual: Option<FloatTensor<Self>>,
        wings: Wings<Self>,
        epsilon: f64,
        activation: Activation,
        wanted: Option<Wanted>,
    ) -> (Normalised<Self>, Self::Saved);

    fn backward(saved: Self::Saved, gradient: FloatTensor<Self>, wanted: Wanted) -> InputGradients<Self>;
}

impl<B: NormKernels> NormBackend for B {
    fn two_wing_norm(
        input: FloatTensor<Self>,
        residual: Optional<Self>,
        wings: Wings<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> Normalised<Self> {
        B::forward(input, residual.into_option(), wings, epsilon, activation, None).0
    }
}

impl<B: Backend> Wings<B> {
    /// Returns the number of samples that the fixed wing takes, and the wings.
    pub fn split(self, samples: usize) -> (usize, Option<FixedWing<B>>, Option<BatchWing<B>>) {
        match self {
            Self::Fixed(wing) => (samples, Some(wing), None),
            Self::Batch(wing) => (0, None, Some(wing)),
            Self::Split(fixed, batch) => (samples / 2, Some(fixed), Some(batch)),
        }
    }
}

/// The inputs whose gradients are requested.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub input: bool,
    pub residual: bool,
    /// Gamma and beta of the fixed wing.
    pub fixed: bool,
    /// Gamma and beta of the batch wing.
    pub batch: bool,
}

impl Wanted {
    /// Whether the gradients depend on the values of the input.
    pub fn needs_input(&self, has_batch: bool, activation: Activation) -> bool {
        has_batch || self.fixed || activation == Activation::Relu
    }
}

/// The requested gradients.
#[derive(ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub struct InputGradients<B: Backend> {
    #[extension_type]
    pub input: Optional<B>,
    #[extension_type]
    pub residual: Optional<B>,
    #[extension_type]
    pub fixed: AffineGradients<B>,
    #[extension_type]
    pub batch: AffineGradients<B>,
}

/// The gradients of a wing's gamma and beta, `[channels]`.
#[derive(ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum AffineGradients<B: Backend> {
    None,
    Some { gamma: FloatTensor<B>, beta: FloatTensor<B> },
}

impl<B: Backend> AffineGradients<B> {
    /// Wraps the gradients of gamma and beta.
    pub fn new(pair: Option<[FloatTensor<B>; 2]>) -> Self {
        pair.map_or(Self::None, |[gamma, beta]| Self::Some { gamma, beta })
    }

    fn into_options(self) -> [Option<FloatTensor<B>>; 2] {
        match self {
            Self::None => [None, None],
            Self::Some { gamma, beta } => [Some(gamma), Some(beta)],
        }
    }
}

impl<B: NormKernels, C: CheckpointStrategy> NormBackend for Autodiff<B, C> {
    fn two_wing_norm(
        input: FloatTensor<Self>,
        residual: Optional<Self>,
        wings: Wings<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> Normalised<Self> {
        let residual = residual.into_option();
        // The graph needs a fixed number of parents, so the input takes the place of absent ones.
        let [fixed, batch] = match &wings {
            Wings::Fixed(wing) => [Some([&wing.gamma, &wing.beta]), None],
            Wings::Batch(wing) => [None, Some([&wing.gamma, &wing.beta])],
            Wings::Split(fixed, batch) => {
                [Some([&fixed.gamma, &fixed.beta]), Some([&batch.gamma, &batch.beta])]
            }
        };
        let tracked = |wing: Option<[&FloatTensor<Self>; 2]>| {
            wing.is_some_and(|pair| pair.iter().any(|t| t.is_tracked()))
        };
        let wanted = Wanted {
            input: input.is_tracked(),
            residual: residual.as_ref().is_some_and(|residual| residual.is_tracked()),
            fixed: tracked(fixed),
            batch: tracked(batch),
        };
        let [[fixed_gamma, fixed_beta], [gamma, beta]] =
            [fixed, batch].map(|wing| wing.unwrap_or([&input; 2]).map(|t| t.node()));
        let around = residual.as_ref().unwrap_or(&input).node();
        let parents = [input.node(), around, fixed_gamma, fixed_beta, gamma, beta];

        let (input, wings) = (input.into_primitive(), wings.into_inner());
        let residual = residual.map(|residual| residual.into_primitive());
        match TwoWingNorm(wanted).prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (normalised, saved) =
                    B::forward(input, residual, wings, epsilon, activation, Some(wanted));
                normalised.lift(|output| prep.finish(saved, output))
            }
            OpsKind::UnTracked(prep) => {
                let (normalised, _) = B::forward(input, residual, wings, epsilon, activation, None);
                normalised.lift(|output| prep.finish(output))
            }
        }
    }
}

impl<B: Backend, C: CheckpointStrategy> Wings<Autodiff<B, C>> {
    fn into_inner(self) -> Wings<B> {
        let fixed = |wing: FixedWing<Autodiff<B, C>>| FixedWing {
            gamma: wing.gamma.into_primitive(),
            beta: wing.beta.into_primitive(),
            mean: wing.mean.into_primitive(),
            variance: wing.variance.into_primitive(),
        };
        let batch = |wing: BatchWing<Autodiff<B, C>>| BatchWing {
            gamma: wing.gamma.into_primitive(),
            beta: wing.beta.into_primitive(),
        };
        match self {
            Self::Fixed(wing) => Wings::Fixed(fixed(wing)),
            Self::Batch(wing) => Wings::Batch(batch(wing)),
            Self::Split(first, second) => Wings::Split(fixed(first), batch(second)),
        }
    }
}

impl<B: Backend> Normalised<B> {
    /// Registers the output with the autodiff graph. The statistics are constants.
    fn lift<C: CheckpointStrategy>(
        self,
        register: impl FnOnce(FloatTensor<B>) -> FloatTensor<Autodiff<B, C>>,
    ) -> Normalised<Autodiff<B, C>> {
        match self {
            Self::Fixed(output) => Normalised::Fixed(register(output)),
            Self::Batch { output, mean, variance } => Normalised::Batch {
                output: register(output),
                mean: FloatTensor::<Autodiff<B, C>>::new(mean),
                variance: FloatTensor::<Autodiff<B, C>>::new(variance),
            },
        }
    }
}

#[derive(Debug)]
struct TwoWingNorm(Wanted);

impl<B: NormKernels> Backward<B, 6> for TwoWingNorm {
    type State = B::Saved;

    fn backward(self, ops: Ops<Self::State, 6>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradients = B::backward(ops.state, grads.consume::<B>(&ops.node), self.0);
        let [fixed_gamma, fixed_beta] = gradients.fixed.into_options();
        let [gamma, beta] = gradients.batch.into_options();
        let [input, residual] = [gradients.input, gradients.residual].map(Optional::into_option);
        let gradients = [input, residual, fixed_gamma, fixed_beta, gamma, beta];
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

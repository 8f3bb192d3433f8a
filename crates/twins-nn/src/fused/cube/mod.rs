//! The operation on the backends of CubeCL.
//!
//! With its feature `fusion`, Burn wraps the tensors of these backends and queues the operations on them. The two passes are operations of
//! their own ([`Passes`]), so that Burn can queue them too: their inputs and outputs are tensors, and the shapes and precisions of the
//! outputs are known beforehand ([`queued`]).

mod kernels;
mod launch;
#[cfg(feature = "fusion")]
mod queued;
mod rows;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, DispatchDevice, ExtensionType, backend_extension};
use burn::tensor::{DType, Device};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{Cube, CubeBackend};

pub(super) use self::launch::fits;
use self::launch::{Fixed, Launch, Lines};
use self::rows::Rows;
use super::backend::{
    AffineGradients, FixedWing, InputGradients, NormKernels, Normalised, Optional, Wanted, Wings,
};
use crate::wings::Activation;

/// Whether the kernels support this device and these precisions.
pub(super) fn has_kernels(device: &Device, dtypes: [DType; 2]) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Cube(_))
        && dtypes.iter().all(|dtype| matches!(dtype, DType::F32 | DType::F16 | DType::BF16))
}

/// What the forward pass returns.
#[derive(ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum Outputs<B: Backend> {
    /// There is no batch wing.
    Fixed(FloatTensor<B>),
    /// The output, the mean and biased variance of the batch, and the lines of both wings for the backward pass.
    Batch {
        output: FloatTensor<B>,
        mean: FloatTensor<B>,
        variance: FloatTensor<B>,
        #[extension_type]
        fixed: Optional<B>,
        batch: FloatTensor<B>,
    },
}

/// What the backward pass needs from the wings.
#[derive(Clone, Debug, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum SavedWings<B: Backend> {
    Fixed(#[extension_type] FixedWing<B>),
    /// The lines of both wings.
    Lines {
        #[extension_type]
        fixed: Optional<B>,
        batch: FloatTensor<B>,
    },
}

/// What the backward pass needs.
#[derive(Clone, Debug, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub struct Saved<B: Backend> {
    /// Absent if the gradients do not depend on it.
    #[extension_type]
    input: Optional<B>,
    /// Present if ReLU's gradient is computed from it.
    #[extension_type]
    output: Optional<B>,
    #[extension_type]
    wings: SavedWings<B>,
    /// Precision of gamma and beta.
    parameters: DType,
    epsilon: f64,
    activation: Activation,
}

/// The two passes.
#[diagnostic::on_unimplemented(
    message = "Burn's feature `fusion` is on, but not that of twins-nn",
    note = "turn the feature `fusion` of `twins-nn` on as well, or better Burn's off (`default-features = false`): docs/backends.md says why"
)]
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub trait Passes: Backend {
    #[fusion(meta = queued::outputs)]
    fn norm_forward(
        input: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        #[extension_type] wings: Wings<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> Outputs<Self>;

    #[fusion(meta = queued::gradients)]
    fn norm_backward(
        gradient: FloatTensor<Self>,
        #[extension_type] saved: Saved<Self>,
        wanted: Wanted,
    ) -> InputGradients<Self>;
}

impl NormKernels for Cube {
    type Saved = Saved<Cube>;

    fn forward(
        input: FloatTensor<Self>,
        residual: Option<FloatTensor<Self>>,
        wings: Wings<Self>,
        epsilon: f64,
        activation: Activation,
        wanted: Option<Wanted>,
    ) -> (Normalised<Self>, Self::Saved) {
        let has_batch = !matches!(wings, Wings::Fixed(_));
        let has_relu = activation == Activation::Relu;
        let (keep_input, keep_output) = wanted.map_or((false, false), |wanted| {
            let sums = has_batch || wanted.fixed;
            // The kernels that read the input can compute the sign of the output from it, unless a residual was added.
            (sums, has_relu && (!sums || residual.is_some()))
        });
        let kept_input = Optional::new(keep_input.then(|| input.clone()));
        let (parameters, fixed) = match &wings {
            Wings::Fixed(wing) => (precision(&wing.gamma), Some(wing.clone())),
            Wings::Batch(wing) | Wings::Split(_, wing) => (precision(&wing.gamma), None),
        };
        let outputs = Self::norm_forward(input, Optional::new(residual), wings, epsilon, activation);
        let (normalised, wings) = match outputs {
            Outputs::Fixed(output) => {
                (Normalised::Fixed(output), SavedWings::Fixed(fixed.expect("the only wing")))
            }
            Outputs::Batch { output, mean, variance, fixed, batch } => {
                (Normalised::Batch { output, mean, variance }, SavedWings::Lines { fixed, batch })
            }
        };
        let output: &FloatTensor<Self> = normalised.output();
        let output = Optional::new(keep_output.then(|| output.clone()));
        let saved = Saved { input: kept_input, output, wings, parameters, epsilon, activation };
        (normalised, saved)
    }

    fn backward(saved: Self::Saved, gradient: FloatTensor<Self>, wanted: Wanted) -> InputGradients<Self> {
        Self::norm_backward(gradient, saved, wanted)
    }
}

impl<B: Backend> Normalised<B> {
    fn output(&self) -> &FloatTensor<B> {
        match self {
            Self::Fixed(output) | Self::Batch { output, .. } => output,
        }
    }
}

fn precision(tensor: &FloatTensor<Cube>) -> DType {
    burn::backend::TensorMetadata::dtype(tensor)
}

impl Passes for CubeBackend {
    fn norm_forward(
        input: CubeTensor,
        residual: Optional<Self>,
        wings: Wings<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> Outputs<Self> {
        let input = Rows::new(input);
        let residual = residual.into_option().map(Rows::new);
        let (first, fixed, batch) = wings.split(input.samples());
        let fixed = fixed.map(Fixed::new);
        let gamma = fixed.as_ref().map(|wing| &wing.gamma).or(batch.as_ref().map(|wing| &wing.gamma));
        let parameters = gamma.expect("there is at least one wing").dtype;
        let batches: Vec<&Rows> = [Some(&input), residual.as_ref()].into_iter().flatten().collect();
        let on = Launch::new(&batches, parameters, first, epsilon, activation);
        let Some(batch) = batch else {
            let wing = fixed.expect("there is at least one wing");
            return Outputs::Fixed(on.fixed_forward(&input, residual.as_ref(), &wing).into_batch());
        };
        let fixed = fixed.map(|wing| on.fixed_lines(&wing));
        let [gamma, beta] = [batch.gamma, batch.beta].map(into_contiguous);
        let (batch, [mean, variance]) = on.batch_lines(&input, &gamma, &beta);
        let lines = Lines { fixed, batch: Some(batch.clone()) };
        let output = on.forward(&input, residual.as_ref(), &lines).into_batch();
        Outputs::Batch { output, mean, variance, fixed: Optional::new(lines.fixed), batch }
    }

    fn norm_backward(gradient: CubeTensor, saved: Saved<Self>, wanted: Wanted) -> InputGradients<Self> {
        let Saved { input, output, wings, parameters, epsilon, activation } = saved;
        let gradient = Rows::new(gradient);
        let [input, output] = [input, output].map(|batch| batch.into_option().map(Rows::new));
        let first = match &wings {
            SavedWings::Fixed(_) => gradient.samples(),
            SavedWings::Lines { fixed: Optional::None, .. } => 0,
            SavedWings::Lines { fixed: Optional::Some(_), .. } => gradient.samples() / 2,
        };
        let batches = [Some(&gradient), input.as_ref(), output.as_ref()];
        let batches: Vec<&Rows> = batches.into_iter().flatten().collect();
        let mut on = Launch::new(&batches, parameters, first, epsilon, activation);

        // The residual's gradient is what ReLU passes on, and the normalisation's gradient is computed from it.
        let let_through = output.as_ref().filter(|_| wanted.residual || input.is_some());
        let let_through = let_through.map(|output| on.relu_gradient(&gradient, output));
        if let_through.is_some() {
            on = on.with_activation(Activation::Identity);
        }
        let output = output.as_ref().filter(|_| let_through.is_none());
        let gradient = let_through.as_ref().unwrap_or(&gradient);
        let residual = Optional::new(wanted.residual.then(|| gradient.clone().into_batch()));
        let Some(input) = &input else {
            let SavedWings::Fixed(wing) = wings else { unreachable!("batch statistics depend on the input") };
            let wing = Fixed::new(wing);
            let of_input = wanted.input.then(|| on.fixed_backward(gradient, output, &wing).into_batch());
            let [fixed, batch] = [AffineGradients::None, AffineGradients::None];
            return InputGradients { input: Optional::new(of_input), residual, fixed, batch };
        };
        let lines = match wings {
            SavedWings::Fixed(wing) => Lines { fixed: Some(on.fixed_lines(&Fixed::new(wing))), batch: None },
            SavedWings::Lines { fixed, batch } => Lines { fixed: fixed.into_option(), batch: Some(batch) },
        };
        let sums = on.sums(input, gradient, &lines);
        let of_input =
            wanted.input.then(|| on.backward(input, gradient, &lines, sums.pulls.as_ref()).into_batch());
        InputGradients {
            input: Optional::new(of_input),
            residual,
            fixed: AffineGradients::new(sums.fixed.filter(|_| wanted.fixed)),
            batch: AffineGradients::new(sums.batch.filter(|_| wanted.batch)),
        }
    }
}

impl Fixed {
    fn new(wing: FixedWing<CubeBackend>) -> Self {
        let [gamma, beta, mean, variance] =
            [wing.gamma, wing.beta, wing.mean, wing.variance].map(into_contiguous);
        Self { gamma, beta, mean, variance }
    }
}

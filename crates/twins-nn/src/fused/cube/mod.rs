//! The operation on the backends of CubeCL.
//!
//! Burn wraps their tensors where it fuses operations itself (its feature `fusion`, which `vulkan` and `cuda` come with):
//! there, the composed form is left to that.

mod kernels;
mod launch;

use std::any::{Any, TypeId};

use burn::backend::DispatchDevice;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Device, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{Cube, CubeBackend};

use self::launch::Launch;
pub(super) use self::launch::fits;
use super::backend::{InputGradients, NormKernels, Normalised, Wanted, Wings};
use super::geometry::Geometry;
use crate::wings::Activation;

/// Whether the kernels take tensors of this device.
pub(super) fn has_kernels(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Cube(_))
        && TypeId::of::<Cube>() == TypeId::of::<CubeBackend>()
}

/// The backend's own tensor. Whether Burn fuses operations is not known here when this is compiled.
fn plain(tensor: FloatTensor<Cube>) -> CubeTensor {
    *(Box::new(tensor) as Box<dyn Any>).downcast().expect("there are no kernels where operations are fused")
}

/// The inverse of [`plain`].
fn wrapped(tensor: CubeTensor) -> FloatTensor<Cube> {
    *(Box::new(tensor) as Box<dyn Any>).downcast().expect("there are no kernels where operations are fused")
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Absent where the gradients do not depend on it.
    input: Option<CubeTensor>,
    shape: Shape,
    /// Samples of the fixed wing.
    first: usize,
    fixed: Option<CubeTensor>,
    batch: Option<CubeTensor>,
    activation: Activation,
}

impl NormKernels for Cube {
    type Saved = Saved;

    fn forward(
        input: FloatTensor<Self>,
        residual: Option<FloatTensor<Self>>,
        wings: Wings<Self>,
        epsilon: f64,
        activation: Activation,
        wanted: Option<Wanted>,
    ) -> (Normalised<Self>, Saved) {
        assert!(residual.is_none(), "residuals are added apart on this backend");
        let input = contiguous(input);
        let shape = input.meta.shape().clone();
        let geometry = Geometry::new(&shape);
        let (first, fixed, batch) = wings.share(geometry.samples);
        let on = Launch { like: &input, geometry, first };
        let fixed = fixed.map(|wing| on.fixed_lines(wing, epsilon));
        let (batch, moments) = batch.map(|wing| on.batch_lines(&input, wing, epsilon)).unzip();
        let output = on.forward(&input, fixed.as_ref(), batch.as_ref(), activation);

        let keep = wanted.is_some_and(|wanted| wanted.needs_input(batch.is_some(), activation));
        let saved = Saved { input: keep.then(|| input.clone()), shape, first, fixed, batch, activation };
        let normalised = match moments {
            None => Normalised::Fixed(wrapped(output)),
            Some([mean, variance]) => Normalised::Batch {
                output: wrapped(output),
                mean: wrapped(mean),
                variance: wrapped(variance),
            },
        };
        (normalised, saved)
    }

    fn backward(saved: Saved, gradient: FloatTensor<Self>, wanted: Wanted) -> InputGradients<Self> {
        let gradient = contiguous(gradient);
        let geometry = Geometry::new(&saved.shape);
        let on = Launch { like: &gradient, geometry, first: saved.first };
        // Where the gradients do not depend on the input, anything of its size will do.
        let input = saved.input.as_ref().unwrap_or(&gradient);
        let sums = |lines: &Option<CubeTensor>, samples| {
            lines
                .as_ref()
                .map(|lines| on.affine_gradients(input, &gradient, lines, samples, saved.activation))
        };
        let fixed = if wanted.fixed { sums(&saved.fixed, 0..saved.first) } else { None };
        // The input's gradient needs those of the batch wing whether its gamma and beta are trained or not.
        let batch = sums(&saved.batch, saved.first..geometry.samples);
        let (batch, pulls) = batch.map(|sums| (sums.affine, sums.pulls)).unzip();
        let output = wanted.input.then(|| on.backward(input, &gradient, &saved, pulls.as_ref()));
        InputGradients {
            input: output.map(wrapped),
            residual: None,
            fixed: fixed.map(|sums| sums.affine.map(wrapped)),
            batch: batch.filter(|_| wanted.batch).map(|affine| affine.map(wrapped)),
        }
    }
}

fn contiguous(tensor: FloatTensor<Cube>) -> CubeTensor {
    into_contiguous(plain(tensor))
}

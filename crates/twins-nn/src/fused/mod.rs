//! Both wings as one operation with its own backward pass.
//!
//! The forward pass reads the batch once for its statistics and writes the output in a second pass. The backward pass computes sums in
//! one pass and writes the gradient in another. Burn's own batch norm takes one pass per arithmetic operation.
//!
//! The operation is implemented for the CPU backend flex in single precision and for CubeCL (wgpu, Vulkan, CUDA), where feature maps may
//! also have half precision. On other backends, in other precisions, and for feature maps so small that nothing would be gained, the
//! [composed](crate::composed) form computes the same.

mod backend;
#[cfg(feature = "_cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod geometry;

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor};

use self::backend::NormBackend;
use crate::wings::{Activation, BatchWing, FixedWing, Normalised, Wings};

/// Size of a feature map below which the CPU uses the composed form, because such a plane does not fill the vector registers.
const SMALLEST_PLANE: usize = 16;

/// Whether the fused operation supports this input and these wings.
pub(crate) fn covers<const D: usize>(input: &Tensor<D>, wings: &Wings) -> bool {
    let device = input.device().inner();
    let (maps, Some(parameters)) = (input.dtype(), wings.dtype()) else { return false };
    if is_flex(&device) {
        let space: usize = input.dims()[2..].iter().product();
        return [maps, parameters] == [DType::F32; 2] && space >= SMALLEST_PLANE;
    }
    #[cfg(feature = "_cube")]
    if cube::has_kernels(&device, [maps, parameters]) {
        return cube::fits(&geometry::Geometry::new(&input.dims()));
    }
    false
}

/// Whether the fused operation can add a residual to this input.
pub(crate) fn takes_residuals<const D: usize>(input: &Tensor<D>) -> bool {
    D == 4 || !is_flex(&input.device().inner())
}

/// Whether a device belongs to the CPU backend flex. Burn has a name for it only if that backend is compiled in.
fn is_flex(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return *device == Device::flex();
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

pub(crate) fn two_wing_norm<const D: usize>(
    input: Tensor<D>,
    residual: Option<Tensor<D>>,
    wings: Wings,
    epsilon: f64,
    activation: Activation,
) -> Normalised<D> {
    let residual = match residual {
        Some(residual) => backend::Optional::Some(residual.into_dispatch()),
        None => backend::Optional::None,
    };
    let wings = match wings {
        Wings::Fixed(wing) => backend::Wings::Fixed(fixed(wing)),
        Wings::Batch(wing) => backend::Wings::Batch(batch(wing)),
        Wings::Split(first, second) => backend::Wings::Split(fixed(first), batch(second)),
    };
    match Dispatch::two_wing_norm(input.into_dispatch(), residual, wings, epsilon, activation) {
        backend::Normalised::Fixed(output) => {
            Normalised { output: Tensor::from_dispatch(output), moments: None }
        }
        backend::Normalised::Batch { output, mean, variance } => Normalised {
            output: Tensor::from_dispatch(output),
            moments: Some([mean, variance].map(Tensor::from_dispatch)),
        },
    }
}

fn fixed(wing: FixedWing) -> backend::FixedWing<Dispatch> {
    backend::FixedWing {
        gamma: wing.gamma.into_dispatch(),
        beta: wing.beta.into_dispatch(),
        mean: wing.mean.into_dispatch(),
        variance: wing.variance.into_dispatch(),
    }
}

fn batch(wing: BatchWing) -> backend::BatchWing<Dispatch> {
    backend::BatchWing { gamma: wing.gamma.into_dispatch(), beta: wing.beta.into_dispatch() }
}

#[cfg(all(test, feature = "flex"))]
mod tests;

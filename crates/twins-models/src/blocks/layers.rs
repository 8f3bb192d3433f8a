//! The layers, configured as in the published networks.

use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::Device;
use twins_nn::{Affine, TwinsBatchNorm, TwinsBatchNormConfig};

/// Square convolution without bias, padded so that stride 1 keeps the size.
pub(crate) fn conv(
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
    device: &Device,
) -> Conv2d {
    let padding = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .with_groups(groups)
        .with_bias(false)
        .init(device)
}

/// 3×3 convolution with stride 2 and without bias, padded at the bottom and on the right, like TensorFlow's `SAME` for
/// images of even size.
pub(crate) fn conv_same(channels: [usize; 2], device: &Device) -> Conv2d {
    Conv2dConfig::new(channels, [3, 3])
        .with_stride([2, 2])
        .with_padding(PaddingConfig2d::Explicit(0, 0, 1, 1))
        .with_bias(false)
        .init(device)
}

/// PyTorch's default momentum of batch normalisation.
pub(crate) const MOMENTUM: f64 = 0.1;

/// Batch normalisation with PyTorch's default epsilon, 1e-5.
pub(crate) fn norm(channels: usize, momentum: f64, affine: Affine, device: &Device) -> TwinsBatchNorm {
    TwinsBatchNormConfig::new(channels)
        .with_epsilon(1e-5)
        .with_momentum(momentum)
        .with_affine(affine)
        .init(device)
}

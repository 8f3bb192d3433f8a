//! The path around a residual block.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor, ops::PadMode, s};
use twins_nn::{Affine, TwinsBatchNorm, conv2d};

use crate::blocks::layers::{MOMENTUM, conv, norm};

/// How a shortcut converts the block's input to the shape of its output, if the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShortcutKind {
    /// Every stride-th pixel, with zeros for the new channels, half of them on each side (option A of He et al., CVPR
    /// 2016, §4.2).
    Padded,
    /// 1×1 convolution and batch normalisation (option B).
    Projected,
    /// 1×1 convolution without batch normalisation, in pre-activation blocks.
    Convolved,
}

/// Zero-padding shortcut without parameters.
#[derive(Module, Debug)]
pub(crate) struct Padding {
    stride: usize,
    before: usize,
    after: usize,
}

/// 1×1 convolution with or without batch normalisation.
#[derive(Module, Debug)]
pub(crate) struct Projection {
    conv: Conv2d,
    norm: Option<TwinsBatchNorm>,
}

/// A shortcut that changes the shape; blocks that keep it have none.
#[allow(clippy::large_enum_variant, reason = "a module cannot be boxed, and a network has few of them")]
#[derive(Module, Debug)]
pub(crate) enum Shortcut {
    Padding(Padding),
    Projection(Projection),
}

impl Shortcut {
    pub(crate) fn new(
        kind: ShortcutKind,
        input: usize,
        output: usize,
        stride: usize,
        affine: Affine,
        device: &Device,
    ) -> Option<Self> {
        if input == output && stride == 1 {
            return None;
        }
        Some(match kind {
            ShortcutKind::Padded => {
                let added = output - input;
                Self::Padding(Padding { stride, before: added / 2, after: added - added / 2 })
            }
            ShortcutKind::Projected | ShortcutKind::Convolved => Self::Projection(Projection {
                conv: conv([input, output], 1, stride, 1, device),
                norm: (kind == ShortcutKind::Projected).then(|| norm(output, MOMENTUM, affine, device)),
            }),
        })
    }

    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Padding(padding) => {
                // With the channels last, the layout that convolutions on a CPU return.
                let step = padding.stride as isize;
                let input = input.permute([0, 2, 3, 1]);
                let thinned = if step == 1 { input } else { input.slice(s![.., ..;step, ..;step, ..]) };
                let padded = thinned.pad([(padding.before, padding.after)], PadMode::Constant(0.0));
                padded.permute([0, 3, 1, 2])
            }
            Self::Projection(projection) => {
                let output = conv2d(&projection.conv, input);
                match &projection.norm {
                    Some(norm) => norm.forward(output),
                    None => output,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_keeps_even_pixels_and_centres_the_channels() {
        let device = Device::flex();
        let shortcut = Shortcut::new(ShortcutKind::Padded, 1, 3, 2, Affine::PerWing, &device).unwrap();
        let x = Tensor::<4>::from_data([[[[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]], &device);
        let y = shortcut.forward(x);
        assert_eq!(y.dims(), [1, 3, 2, 2]);
        assert_eq!(
            y.into_data().try_to_vec::<f32>().unwrap(),
            [0.0, 0.0, 0.0, 0.0, 1.0, 3.0, 7.0, 9.0, 0.0, 0.0, 0.0, 0.0]
        );
    }

    #[test]
    fn an_unchanged_shape_needs_no_shortcut() {
        let projected =
            |stride| Shortcut::new(ShortcutKind::Projected, 8, 8, stride, Affine::PerWing, &Device::flex());
        assert!(projected(1).is_none());
        assert!(projected(2).is_some());
    }
}

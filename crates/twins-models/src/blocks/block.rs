//! The residual blocks: basic, bottleneck and pre-activation.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use twins_nn::{Affine, TwinsBatchNorm, conv2d, conv2d_and_input};

use crate::blocks::activation::Activation;
use crate::blocks::layers::{MOMENTUM, conv, conv_same, norm};
use crate::blocks::shortcut::{Shortcut, ShortcutKind};

/// The kind of residual block in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Two 3×3 convolutions, each followed by batch normalisation.
    Basic,
    /// 1×1, 3×3 and 1×1 convolutions; the last one has four times as many channels.
    Bottleneck {
        /// Groups of the 3×3 convolution.
        groups: usize,
        /// Channels per group in a stage of width 64.
        group_width: usize,
    },
    /// Two 3×3 convolutions, each preceded by batch normalisation and ReLU.
    PreActivation,
    /// The same with a configurable activation, with the padding of TensorFlow's `SAME` (with stride 2, only at the bottom
    /// and on the right), and with momentum 0.01 in batch normalisation.
    SamePreActivation {
        /// The activation after each normalisation.
        activation: Activation,
    },
}

impl BlockKind {
    /// The activation after a normalisation.
    pub(crate) fn activation(self) -> Activation {
        match self {
            Self::SamePreActivation { activation } => activation,
            _ => Activation::Relu,
        }
    }

    /// The weight of the newest batch in the running statistics.
    pub(crate) fn momentum(self) -> f64 {
        match self {
            Self::SamePreActivation { .. } => 0.01,
            _ => MOMENTUM,
        }
    }

    /// Whether normalisations come before convolutions.
    pub(crate) fn is_pre_activation(self) -> bool {
        matches!(self, Self::PreActivation | Self::SamePreActivation { .. })
    }

    /// The number of output channels of a block of the given width.
    pub(crate) fn output(self, width: usize) -> usize {
        match self {
            Self::Bottleneck { .. } => 4 * width,
            _ => width,
        }
    }
}

/// The specification of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockSpec {
    pub(crate) kind: BlockKind,
    pub(crate) shortcut: ShortcutKind,
    pub(crate) input: usize,
    pub(crate) width: usize,
    pub(crate) stride: usize,
    pub(crate) affine: Affine,
}

/// relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))
#[derive(Module, Debug)]
pub(crate) struct Basic {
    conv1: Conv2d,
    bn1: TwinsBatchNorm,
    conv2: Conv2d,
    bn2: TwinsBatchNorm,
    shortcut: Option<Shortcut>,
}

/// The block of three convolutions; the stride is in the 3×3 convolution, as in torchvision.
#[derive(Module, Debug)]
pub(crate) struct Bottleneck {
    conv1: Conv2d,
    bn1: TwinsBatchNorm,
    conv2: Conv2d,
    bn2: TwinsBatchNorm,
    conv3: Conv2d,
    bn3: TwinsBatchNorm,
    shortcut: Option<Shortcut>,
}

/// conv(act(norm(conv(a)))) + shortcut, where a = act(norm(x)). A shortcut that changes the shape takes a as its input,
/// and other shortcuts take x.
#[derive(Module, Debug)]
pub(crate) struct PreActivation {
    bn1: TwinsBatchNorm,
    conv1: Conv2d,
    bn2: TwinsBatchNorm,
    conv2: Conv2d,
    shortcut: Option<Shortcut>,
    #[module(skip)]
    activation: Activation,
}

/// One residual block.
#[allow(clippy::large_enum_variant, reason = "a module cannot be boxed, and a network has few of them")]
#[derive(Module, Debug)]
pub(crate) enum ResidualBlock {
    Basic(Basic),
    Bottleneck(Bottleneck),
    PreActivation(PreActivation),
}

impl BlockSpec {
    pub(crate) fn init(&self, device: &Device) -> ResidualBlock {
        let Self { kind, shortcut, input, width, stride, affine } = *self;
        let output = kind.output(width);
        let shortcut = Shortcut::new(shortcut, input, output, stride, affine, device);
        let norm = |channels| norm(channels, kind.momentum(), affine, device);
        match kind {
            BlockKind::Basic => ResidualBlock::Basic(Basic {
                conv1: conv([input, width], 3, stride, 1, device),
                bn1: norm(width),
                conv2: conv([width, width], 3, 1, 1, device),
                bn2: norm(width),
                shortcut,
            }),
            BlockKind::Bottleneck { groups, group_width } => {
                let inner = width * group_width / 64 * groups;
                ResidualBlock::Bottleneck(Bottleneck {
                    conv1: conv([input, inner], 1, 1, 1, device),
                    bn1: norm(inner),
                    conv2: conv([inner, inner], 3, stride, groups, device),
                    bn2: norm(inner),
                    conv3: conv([inner, output], 1, 1, 1, device),
                    bn3: norm(output),
                    shortcut,
                })
            }
            BlockKind::PreActivation | BlockKind::SamePreActivation { .. } => {
                ResidualBlock::PreActivation(PreActivation {
                    activation: kind.activation(),
                    bn1: norm(input),
                    conv1: match kind {
                        BlockKind::SamePreActivation { .. } if stride == 2 => {
                            conv_same([input, width], device)
                        }
                        _ => conv([input, width], 3, stride, 1, device),
                    },
                    bn2: norm(width),
                    conv2: conv([width, width], 3, 1, 1, device),
                    shortcut,
                })
            }
        }
    }
}

impl ResidualBlock {
    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let around = |shortcut: &Option<Shortcut>, input: Tensor<4>| match shortcut {
            Some(shortcut) => shortcut.forward(input),
            None => input,
        };
        match self {
            Self::Basic(block) => {
                let (x, input) = conv2d_and_input(&block.conv1, input);
                let x = conv2d(&block.conv2, block.bn1.forward_relu(x));
                block.bn2.forward_add_relu(x, around(&block.shortcut, input))
            }
            Self::Bottleneck(block) => {
                let (x, input) = conv2d_and_input(&block.conv1, input);
                let x = conv2d(&block.conv2, block.bn1.forward_relu(x));
                let x = block.bn2.forward_relu(x);
                block.bn3.forward_add_relu(conv2d(&block.conv3, x), around(&block.shortcut, input))
            }
            Self::PreActivation(block) => {
                let act = block.activation;
                let activated = act.after(&block.bn1, input.clone());
                let x = act.after(&block.bn2, conv2d(&block.conv1, activated.clone()));
                let x = conv2d(&block.conv2, x);
                let start = if block.shortcut.is_some() { activated } else { input };
                x + around(&block.shortcut, start)
            }
        }
    }
}

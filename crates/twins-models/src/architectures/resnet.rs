//! One residual network for all families: CIFAR, ImageNet, pre-activation and wide.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use twins_nn::{Affine, TwinsBatchNorm, conv2d, linear};

use crate::blocks::activation::Activation;
use crate::blocks::block::{BlockKind, BlockSpec, ResidualBlock};
use crate::blocks::layers::{conv, norm};
use crate::blocks::shortcut::ShortcutKind;

/// The layers before the first stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stem {
    /// 7×7 convolution with stride 2, then 3×3 max pooling with stride 2.
    ImageNet,
    /// 3×3 convolution.
    Small,
    /// 3×3 convolution with stride 2.
    Strided,
}

/// A stage: blocks of one width, the first of which has the stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) width: usize,
    pub(crate) blocks: usize,
    pub(crate) stride: usize,
}

/// The layers of a residual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResNetSpec {
    pub(crate) stem: Stem,
    pub(crate) stem_width: usize,
    pub(crate) block: BlockKind,
    pub(crate) shortcut: ShortcutKind,
    pub(crate) stages: Vec<Stage>,
    /// Whether the two wings share gamma and beta.
    pub(crate) affine: Affine,
}

/// A stem, stages of residual blocks, an average over all pixels, and a dense head.
///
/// Post-activation networks normalise after the stem, pre-activation networks before the head.
#[derive(Module, Debug)]
pub(crate) struct ResNet {
    conv1: Conv2d,
    stem_norm: Option<TwinsBatchNorm>,
    pool: Option<MaxPool2d>,
    stages: Vec<Vec<ResidualBlock>>,
    head_norm: Option<TwinsBatchNorm>,
    pub(crate) head: Linear,
    #[module(skip)]
    activation: Activation,
}

impl ResNetSpec {
    pub(crate) fn init(&self, num_classes: usize, device: &Device) -> ResNet {
        let pre_activation = self.block.is_pre_activation();
        let (kernel, stride) = match self.stem {
            Stem::ImageNet => (7, 2),
            Stem::Small => (3, 1),
            Stem::Strided => (3, 2),
        };
        let norm = |channels| norm(channels, self.block.momentum(), self.affine, device);
        let mut input = self.stem_width;
        let stages = self.stages.iter().map(|stage| self.stage(*stage, &mut input, device)).collect();
        ResNet {
            conv1: conv([3, self.stem_width], kernel, stride, 1, device),
            stem_norm: (!pre_activation).then(|| norm(self.stem_width)),
            pool: (self.stem == Stem::ImageNet).then(|| {
                MaxPool2dConfig::new([3, 3])
                    .with_strides([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .init()
            }),
            stages,
            head_norm: pre_activation.then(|| norm(input)),
            head: LinearConfig::new(input, num_classes).init(device),
            activation: self.block.activation(),
        }
    }

    fn stage(&self, stage: Stage, input: &mut usize, device: &Device) -> Vec<ResidualBlock> {
        (0..stage.blocks)
            .map(|index| {
                let spec = BlockSpec {
                    kind: self.block,
                    shortcut: self.shortcut,
                    input: *input,
                    width: stage.width,
                    stride: if index == 0 { stage.stride } else { 1 },
                    affine: self.affine,
                };
                *input = self.block.output(stage.width);
                spec.init(device)
            })
            .collect()
    }
}

impl ResNet {
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = conv2d(&self.conv1, images);
        if let Some(norm) = &self.stem_norm {
            x = norm.forward_relu(x);
        }
        if let Some(pool) = &self.pool {
            x = pool.forward(x);
        }
        for block in self.stages.iter().flatten() {
            x = block.forward(x);
        }
        if let Some(norm) = &self.head_norm {
            x = self.activation.after(norm, x);
        }
        let [batch, channels, height, width] = x.dims();
        let features = x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels]);
        linear(&self.head, features)
    }
}

//! ConvNeXt, as in torchvision.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};
use twins_nn::conv2d;

/// A stage: blocks of one width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConvNeXtStage {
    pub(crate) width: usize,
    pub(crate) blocks: usize,
}

/// The layers of a ConvNeXt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConvNeXtSpec {
    pub(crate) stages: Vec<ConvNeXtStage>,
}

/// x + layer_scale · project(gelu(expand(norm(depthwise(x)))))
///
/// The normalisation and the two dense layers apply to the channels of each pixel.
#[derive(Module, Debug)]
pub(crate) struct ConvNeXtBlock {
    depthwise: Conv2d,
    norm: LayerNorm,
    expand: Linear,
    project: Linear,
    layer_scale: Param<Tensor<1>>,
}

/// The layer between two stages: normalisation, then a 2×2 convolution with stride 2.
#[derive(Module, Debug)]
pub(crate) struct Downsampling {
    norm: LayerNorm,
    conv: Conv2d,
}

/// A 4×4 convolution with stride 4, stages of blocks, an average over all pixels, normalisation, and a dense head (Liu
/// et al., "A ConvNet for the 2020s", CVPR 2022). Stochastic depth is not implemented.
#[derive(Module, Debug)]
pub(crate) struct ConvNeXt {
    stem_conv: Conv2d,
    stem_norm: LayerNorm,
    stages: Vec<Vec<ConvNeXtBlock>>,
    downsamplings: Vec<Downsampling>,
    head_norm: LayerNorm,
    pub(crate) head: Linear,
}

/// Layer normalisation with ConvNeXt's epsilon, 1e-6.
fn norm(channels: usize, device: &Device) -> LayerNorm {
    LayerNormConfig::new(channels).with_epsilon(1e-6).init(device)
}

/// A convolution whose kernel size equals its stride.
fn patches(channels: [usize; 2], size: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new(channels, [size, size]).with_stride([size, size]).init(device)
}

impl ConvNeXtSpec {
    pub(crate) fn init(&self, num_classes: usize, device: &Device) -> ConvNeXt {
        let widths: Vec<usize> = self.stages.iter().map(|stage| stage.width).collect();
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let stage = |stage: &ConvNeXtStage| {
            (0..stage.blocks).map(|_| ConvNeXtBlock::new(stage.width, device)).collect()
        };
        let downsampling = |pair: &[usize]| Downsampling {
            norm: norm(pair[0], device),
            conv: patches([pair[0], pair[1]], 2, device),
        };
        ConvNeXt {
            stem_conv: patches([3, first], 4, device),
            stem_norm: norm(first, device),
            stages: self.stages.iter().map(stage).collect(),
            downsamplings: widths.windows(2).map(downsampling).collect(),
            head_norm: norm(last, device),
            head: LinearConfig::new(last, num_classes).init(device),
        }
    }
}

impl ConvNeXtBlock {
    fn new(width: usize, device: &Device) -> Self {
        Self {
            depthwise: Conv2dConfig::new([width, width], [7, 7])
                .with_padding(PaddingConfig2d::Explicit(3, 3, 3, 3))
                .with_groups(width)
                .init(device),
            norm: norm(width, device),
            expand: LinearConfig::new(width, 4 * width).init(device),
            project: LinearConfig::new(4 * width, width).init(device),
            layer_scale: Param::from_tensor(Tensor::full([width], 1e-6, device)),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = channels_last(conv2d(&self.depthwise, input.clone()));
        let x = self.project.forward(gelu(self.expand.forward(self.norm.forward(x))));
        input + channels_first(x * self.layer_scale.val().unsqueeze())
    }
}

fn channels_last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

fn channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

/// Normalises the channels of each pixel.
fn per_pixel(norm: &LayerNorm, x: Tensor<4>) -> Tensor<4> {
    channels_first(norm.forward(channels_last(x)))
}

impl ConvNeXt {
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = per_pixel(&self.stem_norm, conv2d(&self.stem_conv, images));
        for (index, stage) in self.stages.iter().enumerate() {
            if let Some(between) = index.checked_sub(1).map(|before| &self.downsamplings[before]) {
                x = conv2d(&between.conv, per_pixel(&between.norm, x));
            }
            for block in stage {
                x = block.forward(x);
            }
        }
        let [batch, channels, height, width] = x.dims();
        let features = x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels]);
        self.head.forward(self.head_norm.forward(features))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architectures::golden::reduced_net;
    use crate::network::slots::values;

    #[test]
    fn starts_from_torchvisions_distributions() {
        let values = values(reduced_net("convnext", &Device::flex()).body());
        let of = |path: &str| values[path].try_to_vec::<f32>().unwrap();
        for path in ["stages.3.0.expand.weight", "stages.3.0.depthwise.weight"] {
            let drawn = of(path);
            let std = (drawn.iter().map(|value| value * value).sum::<f32>() / drawn.len() as f32).sqrt();
            // 400 and 490 values: a standard error of at most 0.0007, four of it.
            assert!((std - 0.02).abs() < 0.0028, "{path}: {std}");
        }
        for path in ["stem_conv.bias", "stages.1.1.project.bias", "head.bias"] {
            assert!(of(path).iter().all(|value| *value == 0.0), "{path}");
        }
        assert_eq!(of("stages.0.0.layer_scale"), [1e-6; 4]);
    }
}

//! The architectures.

use serde::{Deserialize, Serialize};

use crate::blocks::activation::Activation;
use crate::error::ModelError;
use crate::network::normalisation::Normalisation;

/// An architecture that this crate can build, by its name on the command line.
///
/// | name | network | input |
/// |---|---|---|
/// | `mnist-cnn` | two strided 4×4 convolutions, two dense layers (Wong et al., "Fast is better than free", ICLR 2020) | 1×28×28 |
/// | `tiny-resnet` | `resnet8` with stride 2 in its first convolution | 3×32×32 |
/// | `resnet8`, `resnet20`, `resnet32`, `resnet44`, `resnet56` | CIFAR ResNets (He et al., CVPR 2016, §4.2); their [`Shortcuts`](crate::Shortcuts) are parameter-free, or projections if the weights have them | 3×32×32 |
/// | `resnet18` … `resnet152` | ImageNet ResNets (He et al., CVPR 2016, §4.1), with the stride in the 3×3 convolution, as in torchvision | 3×224×224 |
/// | `wide-resnet50-2`, `wide-resnet50-4` | ResNet-50 with 2 and 4 times wider bottlenecks | 3×224×224 |
/// | `resnext50-32x4d` | ResNet-50 with 32 groups (Xie et al., CVPR 2017) | 3×224×224 |
/// | `convnext-tiny` | ConvNeXt-T (Liu et al., CVPR 2022) as in torchvision; no batch normalisation, so no two-wing training | 3×224×224 |
/// | `resnet18-cifar` | ResNet-18 with a 3×3 stem and no max pooling | 3×32×32 |
/// | `preact-resnet18` | the pre-activation form of `resnet18-cifar` (He et al., ECCV 2016) | 3×32×32 |
/// | `wrn-D-W` | WideResNet of depth D = 6n + 4 and width W (Zagoruyko & Komodakis, BMVC 2016) | 3×32×32 |
/// | `dm-wrn-D-W`, `dm-wrn-D-W-swish` | the variant of Gowal et al. ("Uncovering the limits of adversarial training", 2020): different padding and names, ReLU or Swish, and momentum 0.01 in batch normalisation | 3×32×32 |
///
/// `resnet8` is the smallest CIFAR ResNet: one block per stage, 75 290 weights for 10 classes. `tiny-resnet` has the
/// same number of weights and needs a quarter of the computation, so that adversarial training on 32×32 images takes a
/// minute or two on two CPU cores. It is not a published network; the main job uses it.
///
/// ```
/// use twins_models::Architecture;
///
/// let arch: Architecture = "wrn-28-10".parse()?;
/// assert_eq!(arch, Architecture::WideResNet { depth: 28, width: 10 });
/// assert_eq!(arch.to_string(), "wrn-28-10");
/// assert!("resnet19".parse::<Architecture>().unwrap_err().to_string().contains("resnet18"));
/// # Ok::<(), twins_models::ModelError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Architecture {
    /// `mnist-cnn`.
    MnistCnn,
    /// `tiny-resnet`: `resnet8` at half the resolution.
    TinyResNet,
    /// `resnet8`: the CIFAR ResNet with one block per stage.
    ResNet8,
    /// `resnet20`: CIFAR.
    ResNet20,
    /// `resnet32`: CIFAR.
    ResNet32,
    /// `resnet44`: CIFAR.
    ResNet44,
    /// `resnet56`: CIFAR.
    ResNet56,
    /// `resnet18`: ImageNet stem.
    ResNet18,
    /// `resnet34`: ImageNet stem.
    ResNet34,
    /// `resnet50`: ImageNet stem.
    ResNet50,
    /// `resnet101`: ImageNet stem.
    ResNet101,
    /// `resnet152`: ImageNet stem.
    ResNet152,
    /// `wide-resnet50-2`: ImageNet stem.
    WideResNet50x2,
    /// `wide-resnet50-4`: ImageNet stem.
    WideResNet50x4,
    /// `resnext50-32x4d`: ImageNet stem.
    ResNeXt50,
    /// `convnext-tiny`: layer normalisation.
    ConvNeXtTiny,
    /// `resnet18-cifar`: 3×3 stem.
    ResNet18Cifar,
    /// `preact-resnet18`: 3×3 stem, pre-activation blocks.
    PreActResNet18,
    /// `wrn-D-W`.
    WideResNet {
        /// Number of layers D = 6n + 4.
        depth: usize,
        /// Widening factor W of the 16, 32 and 64 channels.
        width: usize,
    },
    /// `dm-wrn-D-W` and `dm-wrn-D-W-swish`.
    DeepMindWideResNet {
        /// Number of layers D = 6n + 4.
        depth: usize,
        /// Widening factor W of the 16, 32 and 64 channels.
        width: usize,
        /// The activation after each normalisation. Weight files do not record it; it is part of the architecture's
        /// name.
        activation: Activation,
    },
}

// Far above every published network (wrn-106-16), but low enough that a typing error does not exhaust the memory.
const MAX_DEPTH: usize = 202;
const MAX_WIDTH: usize = 32;

impl Architecture {
    /// The shape `[channels, height, width]` of the images for which the network was published.
    pub fn input_shape(self) -> [usize; 3] {
        match self {
            Self::MnistCnn => [1, 28, 28],
            Self::ResNet18
            | Self::ResNet34
            | Self::ResNet50
            | Self::ResNet101
            | Self::ResNet152
            | Self::WideResNet50x2
            | Self::WideResNet50x4
            | Self::ResNeXt50
            | Self::ConvNeXtTiny => [3, 224, 224],
            _ => [3, 32, 32],
        }
    }

    /// The input normalisation that the published weights of this network expect.
    ///
    /// The CIFAR ResNets 20 to 56 and all networks published for ImageNet use the mean and standard deviation of
    /// ImageNet, and `dm-wrn` uses those of CIFAR-10. The other networks have none: the MNIST network, `tiny-resnet`,
    /// `resnet8`, and the 3×3-stem ResNet-18s and WideResNets, whose robust weights take images in [0, 1] without
    /// normalisation.
    pub fn default_normalisation(self) -> Option<Normalisation> {
        match self {
            Self::MnistCnn
            | Self::TinyResNet
            | Self::ResNet8
            | Self::ResNet18Cifar
            | Self::PreActResNet18
            | Self::WideResNet { .. } => None,
            Self::DeepMindWideResNet { .. } => Some(Normalisation::cifar10()),
            _ => Some(Normalisation::imagenet()),
        }
    }

    /// Whether the network has batch normalisation, which two-wing training needs.
    ///
    /// ```
    /// use twins_models::Architecture;
    ///
    /// assert!(Architecture::ResNet50.has_batch_norm());
    /// assert!(!Architecture::ConvNeXtTiny.has_batch_norm());
    /// ```
    pub fn has_batch_norm(self) -> bool {
        !matches!(self, Self::MnistCnn | Self::ConvNeXtTiny)
    }

    /// Whether published weights of this network exist in both forms of [`Shortcuts`](crate::Shortcuts), as for the
    /// CIFAR ResNets.
    pub fn has_both_shortcuts(self) -> bool {
        matches!(
            self,
            Self::TinyResNet
                | Self::ResNet8
                | Self::ResNet20
                | Self::ResNet32
                | Self::ResNet44
                | Self::ResNet56
        )
    }

    /// Returns the WideResNet of the given depth and width.
    ///
    /// # Errors
    ///
    /// [`ModelError::WideResNetSize`] unless the depth is 6n + 4 in 10 ..= 202 and the width is in 1 ..= 32.
    pub fn wide_resnet(depth: usize, width: usize) -> Result<Self, ModelError> {
        let fits = depth % 6 == 4 && (10..=MAX_DEPTH).contains(&depth) && (1..=MAX_WIDTH).contains(&width);
        if fits {
            Ok(Self::WideResNet { depth, width })
        } else {
            Err(ModelError::WideResNetSize { depth, width })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_has_the_documented_input_and_normalisation() {
        for name in Architecture::known_names() {
            let expected = match name {
                "mnist-cnn" => ([1, 28, 28], "none"),
                "resnet20" | "resnet32" | "resnet44" | "resnet56" => ([3, 32, 32], "imagenet"),
                "resnet8" | "tiny-resnet" | "resnet18-cifar" | "preact-resnet18" => ([3, 32, 32], "none"),
                _ if name.starts_with("wrn-") => ([3, 32, 32], "none"),
                _ if name.starts_with("dm-wrn-") => ([3, 32, 32], "cifar10"),
                _ => ([3, 224, 224], "imagenet"),
            };
            let arch: Architecture = name.parse().unwrap();
            let normalisation = arch.default_normalisation().map_or("none".to_owned(), |own| own.to_string());
            assert_eq!((arch.input_shape(), &*normalisation), expected, "{name}");
        }
    }
}

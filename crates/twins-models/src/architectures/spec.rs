//! The layers of each architecture.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use twins_nn::Affine;

use crate::architectures::architecture::Architecture;
use crate::architectures::convnext::{ConvNeXt, ConvNeXtSpec, ConvNeXtStage};
use crate::architectures::mnist_cnn::{MnistCnn, MnistCnnSpec};
use crate::architectures::naming::Naming;
use crate::architectures::resnet::{ResNet, ResNetSpec, Stage, Stem};
use crate::architectures::shortcuts::Shortcuts;
use crate::blocks::block::BlockKind;
use crate::blocks::shortcut::ShortcutKind;

/// The specification of a network's layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodySpec {
    MnistCnn(MnistCnnSpec),
    ResNet(ResNetSpec),
    ConvNeXt(ConvNeXtSpec),
}

/// The layers of a network.
#[allow(clippy::large_enum_variant, reason = "a module cannot be boxed, and a network has few of them")]
#[derive(Module, Debug)]
pub(crate) enum Body {
    MnistCnn(MnistCnn),
    ResNet(ResNet),
    ConvNeXt(ConvNeXt),
}

/// The bottleneck of ResNet-50, from which the other bottlenecks are derived.
const PLAIN: BlockKind = BlockKind::Bottleneck { groups: 1, group_width: 64 };

impl BodySpec {
    pub(crate) fn new(arch: Architecture, shortcuts: Option<Shortcuts>, affine: Affine) -> Self {
        let published = Self::published(arch).with_affine(affine);
        match shortcuts {
            Some(shortcuts) => published.with_shortcuts(shortcuts),
            None => published,
        }
    }

    fn published(arch: Architecture) -> Self {
        use Architecture as A;
        Self::ResNet(match arch {
            A::MnistCnn => return Self::MnistCnn(MnistCnnSpec::PUBLISHED),
            A::ConvNeXtTiny => return Self::ConvNeXt(convnext([(96, 3), (192, 3), (384, 9), (768, 3)])),
            A::TinyResNet => ResNetSpec { stem: Stem::Strided, ..cifar(1) },
            A::ResNet8 => cifar(1),
            A::ResNet20 => cifar(3),
            A::ResNet32 => cifar(5),
            A::ResNet44 => cifar(7),
            A::ResNet56 => cifar(9),
            A::ResNet18 => residual(Stem::ImageNet, BlockKind::Basic, [2, 2, 2, 2]),
            A::ResNet34 => residual(Stem::ImageNet, BlockKind::Basic, [3, 4, 6, 3]),
            A::ResNet50 => residual(Stem::ImageNet, PLAIN, [3, 4, 6, 3]),
            A::ResNet101 => residual(Stem::ImageNet, PLAIN, [3, 4, 23, 3]),
            A::ResNet152 => residual(Stem::ImageNet, PLAIN, [3, 8, 36, 3]),
            A::WideResNet50x2 => {
                residual(Stem::ImageNet, BlockKind::Bottleneck { groups: 1, group_width: 128 }, [3, 4, 6, 3])
            }
            A::WideResNet50x4 => {
                residual(Stem::ImageNet, BlockKind::Bottleneck { groups: 1, group_width: 256 }, [3, 4, 6, 3])
            }
            A::ResNeXt50 => {
                residual(Stem::ImageNet, BlockKind::Bottleneck { groups: 32, group_width: 4 }, [3, 4, 6, 3])
            }
            A::ResNet18Cifar => residual(Stem::Small, BlockKind::Basic, [2, 2, 2, 2]),
            A::PreActResNet18 => residual(Stem::Small, BlockKind::PreActivation, [2, 2, 2, 2]),
            A::WideResNet { depth, width } => wide((depth - 4) / 6, width, BlockKind::PreActivation),
            A::DeepMindWideResNet { depth, width, activation } => {
                wide((depth - 4) / 6, width, BlockKind::SamePreActivation { activation })
            }
        })
    }

    /// The same network with the given shortcuts.
    pub(crate) fn with_shortcuts(self, shortcuts: Shortcuts) -> Self {
        match self {
            Self::ResNet(spec) => Self::ResNet(ResNetSpec { shortcut: shortcuts.into(), ..spec }),
            other => other,
        }
    }

    /// The same network with one gamma and beta per wing, or with shared ones. It has no effect on networks without
    /// batch normalisation.
    pub(crate) fn with_affine(self, affine: Affine) -> Self {
        match self {
            Self::ResNet(spec) => Self::ResNet(ResNetSpec { affine, ..spec }),
            other => other,
        }
    }

    /// Whether the wings of the layers share gamma and beta.
    pub(crate) fn affine(&self) -> Affine {
        match self {
            Self::ResNet(spec) => spec.affine,
            Self::MnistCnn(_) | Self::ConvNeXt(_) => Affine::PerWing,
        }
    }

    pub(crate) fn init(&self, num_classes: usize, device: &Device) -> Body {
        match self {
            Self::MnistCnn(spec) => Body::MnistCnn(spec.init(num_classes, device)),
            Self::ResNet(spec) => Body::ResNet(spec.init(num_classes, device)),
            Self::ConvNeXt(spec) => Body::ConvNeXt(spec.init(num_classes, device)),
        }
    }
}

/// The naming schemes of published checkpoints for an architecture; exports use the first one.
pub(crate) fn namings(arch: Architecture, shortcuts: Option<Shortcuts>) -> &'static [Naming] {
    use Architecture as A;
    match arch {
        A::MnistCnn => &[Naming::Sequential],
        A::ConvNeXtTiny => &[Naming::ConvNeXt],
        _ if arch.has_both_shortcuts() => match shortcuts {
            Some(Shortcuts::Projected) => &[Naming::Torchvision, Naming::Cifar, Naming::Underscored],
            _ => &[Naming::Cifar, Naming::Torchvision, Naming::Underscored],
        },
        A::ResNet18Cifar => &[Naming::Cifar, Naming::Torchvision],
        A::PreActResNet18 => &[Naming::PreAct],
        A::WideResNet { .. } => &[Naming::Wide],
        A::DeepMindWideResNet { .. } => &[Naming::DeepMind],
        _ => &[Naming::Torchvision, Naming::Cifar],
    }
}

/// He et al., CVPR 2016, §4.2: three stages of n basic blocks with 16, 32 and 64 channels.
fn cifar(n: usize) -> ResNetSpec {
    let stage = |width, stride| Stage { width, blocks: n, stride };
    ResNetSpec {
        stem: Stem::Small,
        stem_width: 16,
        block: BlockKind::Basic,
        shortcut: ShortcutKind::Padded,
        stages: vec![stage(16, 1), stage(32, 2), stage(64, 2)],
        affine: Affine::PerWing,
    }
}

/// He et al., CVPR 2016, table 1: four stages with 64 to 512 channels.
fn residual(stem: Stem, block: BlockKind, blocks: [usize; 4]) -> ResNetSpec {
    let stages = [(64, 1), (128, 2), (256, 2), (512, 2)];
    ResNetSpec {
        stem,
        stem_width: 64,
        block,
        shortcut: match block {
            kind if kind.is_pre_activation() => ShortcutKind::Convolved,
            _ => ShortcutKind::Projected,
        },
        stages: stages
            .into_iter()
            .zip(blocks)
            .map(|((width, stride), blocks)| Stage { width, blocks, stride })
            .collect(),
        affine: Affine::PerWing,
    }
}

/// Liu et al., CVPR 2022, §2.7: the width and the number of blocks of each stage.
fn convnext(stages: [(usize, usize); 4]) -> ConvNeXtSpec {
    let stage = |(width, blocks)| ConvNeXtStage { width, blocks };
    ConvNeXtSpec { stages: stages.into_iter().map(stage).collect() }
}

/// Zagoruyko & Komodakis, BMVC 2016, table 1: three stages of n blocks, `width` times wider.
fn wide(n: usize, width: usize, block: BlockKind) -> ResNetSpec {
    let stage = |channels, stride| Stage { width: channels * width, blocks: n, stride };
    ResNetSpec {
        stem: Stem::Small,
        stem_width: 16,
        block,
        shortcut: ShortcutKind::Convolved,
        stages: vec![stage(16, 1), stage(32, 2), stage(64, 2)],
        affine: Affine::PerWing,
    }
}

impl Body {
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::MnistCnn(net) => net.forward(images),
            Self::ResNet(net) => net.forward(images),
            Self::ConvNeXt(net) => net.forward(images),
        }
    }

    pub(crate) fn head(&self) -> &Linear {
        match self {
            Self::MnistCnn(net) => &net.fc2,
            Self::ResNet(net) => &net.head,
            Self::ConvNeXt(net) => &net.head,
        }
    }

    /// The name of the head's field.
    pub(crate) fn head_field(&self) -> &'static str {
        match self {
            Self::MnistCnn(_) => "fc2",
            Self::ResNet(_) | Self::ConvNeXt(_) => "head",
        }
    }

    /// The name of the variant, which is part of the paths of its layers.
    pub(crate) fn variant(&self) -> &'static str {
        match self {
            Self::MnistCnn(_) => "MnistCnn",
            Self::ResNet(_) => "ResNet",
            Self::ConvNeXt(_) => "ConvNeXt",
        }
    }

    pub(crate) fn with_head(mut self, head: Linear) -> Self {
        match &mut self {
            Self::MnistCnn(net) => net.fc2 = head,
            Self::ResNet(net) => net.head = head,
            Self::ConvNeXt(net) => net.head = head,
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::config::ModelConfig;
    use crate::network::slots::slots;

    const COUNTS: [(&str, usize, usize); 24] = [
        ("mnist-cnn", 10, 166406),
        ("tiny-resnet", 10, 75290),
        ("resnet8", 10, 75290),
        ("resnet20", 10, 269722),
        ("resnet32", 10, 464154),
        ("resnet44", 10, 658586),
        ("resnet56", 10, 853018),
        ("resnet18", 1000, 11689512),
        ("resnet34", 1000, 21797672),
        ("resnet50", 1000, 25557032),
        ("resnet101", 1000, 44549160),
        ("resnet152", 1000, 60192808),
        ("wide-resnet50-2", 1000, 68883240),
        ("wide-resnet50-4", 1000, 223439144),
        ("resnext50-32x4d", 1000, 25028904),
        ("convnext-tiny", 1000, 28589128),
        ("resnet18-cifar", 10, 11173962),
        ("preact-resnet18", 10, 11172170),
        ("wrn-28-10", 10, 36479194),
        ("wrn-34-10", 10, 46160474),
        ("wrn-34-20", 10, 184531674),
        ("wrn-70-16", 10, 266796506),
        ("dm-wrn-28-10-swish", 10, 36479194),
        ("dm-wrn-70-16", 10, 266796506),
    ];

    /// With projection shortcuts.
    const PROJECTED: [(&str, usize); 4] =
        [("resnet20", 272474), ("resnet32", 466906), ("resnet44", 661338), ("resnet56", 855770)];

    /// Weights of plain batch normalisation and all other layers, as PyTorch counts them.
    fn parameters(name: &str, classes: usize, shortcuts: Option<Shortcuts>) -> usize {
        let config = ModelConfig::new(name.parse().unwrap(), classes).with_shortcuts(shortcuts);
        let net = config.init(&Device::flex()).unwrap();
        slots(net.body())
            .iter()
            .filter(|slot| {
                !slot.parameter().starts_with("running_") && !slot.parameter().starts_with("frozen_")
            })
            .map(|slot| slot.shape.iter().product::<usize>())
            .sum()
    }

    #[test]
    fn parameter_counts_are_the_published_ones() {
        // Counted in PyTorch by check_counts.py from the reference networks; those of torchvision's
        // networks are also in its documentation.
        for (name, classes, count) in COUNTS {
            assert_eq!(parameters(name, classes, None), count, "{name}");
        }
        for (name, count) in PROJECTED {
            assert_eq!(parameters(name, 10, Some(Shortcuts::Projected)), count, "{name}");
        }
    }

    #[test]
    fn batch_normalisation_has_the_momentum_of_the_published_networks() {
        // RobustBench's DMWideResNet has `nn.BatchNorm2d(in_planes, momentum=0.01)`; the others have PyTorch's default.
        for (name, momentum) in [("dm-wrn-10-1", "momentum: 0.01,"), ("wrn-10-1", "momentum: 0.1,")] {
            let net = ModelConfig::new(name.parse().unwrap(), 10).init(&Device::flex()).unwrap();
            let shown = net.body().to_string();
            assert_eq!(shown.matches("momentum: ").count(), 7, "{shown}");
            assert_eq!(shown.matches(momentum).count(), 7, "{shown}");
        }
    }
}

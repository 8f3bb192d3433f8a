//! The names of a network's entries in published checkpoints.

/// A naming scheme for the layers of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `layer1.0.conv1`, `layer2.0.downsample.0`, `fc`.
    Torchvision,
    /// `layer1.0.conv1`, `layer2.0.shortcut.0`, `linear`.
    Cifar,
    /// `stage_1.0.conv_1`, `stage_2.0.downsample.0`, `fc` (EhanW/advrob-cifar10).
    Underscored,
    /// The same as [`Naming::Cifar`], with `bn` as the last normalisation.
    PreAct,
    /// `block1.layer.0.conv1`, `block1.layer.0.convShortcut`, `bn1`, `fc`.
    Wide,
    /// `layer.0.block.0.conv_0`, `layer.0.block.0.shortcut`, `batchnorm`, `logits`.
    DeepMind,
    /// `features.1.0.block.0`, `classifier.2`: torchvision's ConvNeXt.
    ConvNeXt,
    /// `0`, `2`, `5`, `7`: positions in an `nn.Sequential`.
    Sequential,
    /// The module paths themselves, as in Burn's records.
    Burn,
}

impl Naming {
    /// Returns the file's key for the parameter at a module path, for instance `layer2.0.downsample.1.weight` for
    /// `stages.1.0.shortcut.norm.gamma`.
    pub(crate) fn key(self, path: &str) -> String {
        if self == Self::Burn {
            return path.to_owned();
        }
        let (layer, parameter) = path.rsplit_once('.').unwrap_or(("", path));
        let parameter = match parameter {
            "gamma" => "weight",
            "beta" => "bias",
            "frozen_gamma" => "frozen_weight",
            "frozen_beta" => "frozen_bias",
            "frozen_mean" => "frozen_running_mean",
            "frozen_var" => "frozen_running_var",
            other => other,
        };
        format!("{}.{parameter}", self.layer(layer))
    }

    fn layer(self, layer: &str) -> String {
        if self == Self::Sequential {
            let position = match layer {
                "conv1" => "0",
                "conv2" => "2",
                "fc1" => "5",
                "fc2" => "7",
                other => other,
            };
            return position.to_owned();
        }
        if self == Self::ConvNeXt {
            return convnext(layer);
        }
        if let Some(inside) = layer.strip_prefix("stages.") {
            let mut parts = inside.splitn(3, '.');
            let mut next = || parts.next().unwrap_or_default();
            let (stage, block, rest) = (next(), next(), next());
            if self == Self::DeepMind {
                return format!("layer.{stage}.block.{block}.{}", self.inside_block(rest));
            }
            let stage = stage.parse::<usize>().map_or(0, |index| index + 1);
            let rest = self.inside_block(rest);
            return match self {
                Self::Wide => format!("block{stage}.layer.{block}.{rest}"),
                Self::Underscored => format!("stage_{stage}.{block}.{rest}"),
                _ => format!("layer{stage}.{block}.{rest}"),
            };
        }
        match (layer, self) {
            ("conv1", Self::DeepMind) => "init_conv",
            ("head_norm", Self::DeepMind) => "batchnorm",
            ("head", Self::DeepMind) => "logits",
            ("conv1", Self::Underscored) => "conv_1",
            ("stem_norm", Self::Underscored) => "bn_1",
            ("stem_norm", _) | ("head_norm", Self::Wide) => "bn1",
            ("head_norm", _) => "bn",
            ("head", Self::Torchvision | Self::Wide | Self::Underscored) => "fc",
            ("head", _) => "linear",
            (other, _) => other,
        }
        .to_owned()
    }

    fn inside_block(self, layer: &str) -> &str {
        match (layer, self) {
            ("shortcut.conv", Self::Torchvision | Self::Underscored) => "downsample.0",
            ("shortcut.norm", Self::Torchvision | Self::Underscored) => "downsample.1",
            ("conv1", Self::Underscored) => "conv_1",
            ("bn1", Self::Underscored) => "bn_1",
            ("conv2", Self::Underscored) => "conv_2",
            ("bn2", Self::Underscored) => "bn_2",
            ("shortcut.conv", Self::Wide) => "convShortcut",
            ("bn1", Self::DeepMind) => "batchnorm_0",
            ("conv1", Self::DeepMind) => "conv_0",
            ("bn2", Self::DeepMind) => "batchnorm_1",
            ("conv2", Self::DeepMind) => "conv_1",
            ("shortcut.conv", Self::DeepMind) => "shortcut",
            ("shortcut.conv", _) => "shortcut.0",
            ("shortcut.norm", _) => "shortcut.1",
            (other, _) => other,
        }
    }
}

/// torchvision numbers the stem, the stages and the layers between them in one sequence. It also numbers the layers of
/// a block.
fn convnext(layer: &str) -> String {
    let mut parts = layer.splitn(4, '.');
    let mut next = || parts.next().unwrap_or_default();
    let (part, index, third, rest) = (next(), next().parse::<usize>().unwrap_or(0), next(), next());
    let inside = match if part == "stages" { rest } else { third } {
        "depthwise" => ".block.0",
        "norm" if part == "stages" => ".block.2",
        "expand" => ".block.3",
        "project" => ".block.5",
        "norm" => ".0",
        "conv" => ".1",
        _ => "",
    };
    match part {
        "stem_conv" => "features.0.0".to_owned(),
        "stem_norm" => "features.0.1".to_owned(),
        "stages" => format!("features.{}.{third}{inside}", 2 * index + 1),
        "downsamplings" => format!("features.{}{inside}", 2 * index + 2),
        "head_norm" => "classifier.0".to_owned(),
        "head" => "classifier.2".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_layers_as_the_published_files_do() {
        let cases = [
            (Naming::Torchvision, "stages.1.0.shortcut.norm.gamma", "layer2.0.downsample.1.weight"),
            (Naming::Torchvision, "stem_norm.running_var", "bn1.running_var"),
            (Naming::Torchvision, "head.bias", "fc.bias"),
            (Naming::Cifar, "stages.2.11.conv2.weight", "layer3.11.conv2.weight"),
            (Naming::Cifar, "stages.1.0.shortcut.conv.weight", "layer2.0.shortcut.0.weight"),
            (Naming::Cifar, "head.weight", "linear.weight"),
            (Naming::Underscored, "stem_norm.gamma", "bn_1.weight"),
            (Naming::Underscored, "stages.1.0.bn2.running_var", "stage_2.0.bn_2.running_var"),
            (Naming::Underscored, "stages.2.0.shortcut.norm.beta", "stage_3.0.downsample.1.bias"),
            (Naming::PreAct, "head_norm.beta", "bn.bias"),
            (Naming::Wide, "stages.0.0.shortcut.conv.weight", "block1.layer.0.convShortcut.weight"),
            (Naming::Wide, "head_norm.gamma", "bn1.weight"),
            (Naming::Wide, "stages.2.3.bn2.frozen_gamma", "block3.layer.3.bn2.frozen_weight"),
            (Naming::DeepMind, "stages.0.3.bn2.running_var", "layer.0.block.3.batchnorm_1.running_var"),
            (Naming::DeepMind, "stages.2.0.shortcut.conv.weight", "layer.2.block.0.shortcut.weight"),
            (Naming::DeepMind, "head_norm.gamma", "batchnorm.weight"),
            (Naming::ConvNeXt, "stem_norm.beta", "features.0.1.bias"),
            (Naming::ConvNeXt, "stages.2.8.layer_scale", "features.5.8.layer_scale"),
            (Naming::ConvNeXt, "stages.0.1.depthwise.bias", "features.1.1.block.0.bias"),
            (Naming::ConvNeXt, "stages.3.0.norm.gamma", "features.7.0.block.2.weight"),
            (Naming::ConvNeXt, "downsamplings.1.norm.gamma", "features.4.0.weight"),
            (Naming::ConvNeXt, "downsamplings.2.conv.weight", "features.6.1.weight"),
            (Naming::ConvNeXt, "head.weight", "classifier.2.weight"),
            (Naming::Sequential, "fc1.weight", "5.weight"),
        ];
        for (naming, path, key) in cases {
            assert_eq!(naming.key(path), key);
        }
    }
}

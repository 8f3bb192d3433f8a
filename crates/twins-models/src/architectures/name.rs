//! The names of the architectures.

use std::fmt;
use std::str::FromStr;

use crate::architectures::architecture::Architecture;
use crate::blocks::activation::Activation;
use crate::error::ModelError;

const NAMED: [(&str, Architecture); 18] = [
    ("mnist-cnn", Architecture::MnistCnn),
    ("tiny-resnet", Architecture::TinyResNet),
    ("resnet8", Architecture::ResNet8),
    ("resnet20", Architecture::ResNet20),
    ("resnet32", Architecture::ResNet32),
    ("resnet44", Architecture::ResNet44),
    ("resnet56", Architecture::ResNet56),
    ("resnet18", Architecture::ResNet18),
    ("resnet34", Architecture::ResNet34),
    ("resnet50", Architecture::ResNet50),
    ("resnet101", Architecture::ResNet101),
    ("resnet152", Architecture::ResNet152),
    ("wide-resnet50-2", Architecture::WideResNet50x2),
    ("wide-resnet50-4", Architecture::WideResNet50x4),
    ("resnext50-32x4d", Architecture::ResNeXt50),
    ("convnext-tiny", Architecture::ConvNeXtTiny),
    ("resnet18-cifar", Architecture::ResNet18Cifar),
    ("preact-resnet18", Architecture::PreActResNet18),
];

/// WideResNets that messages list as examples; other depths and widths are valid too.
const WIDE_EXAMPLES: [&str; 6] =
    ["wrn-28-10", "wrn-34-10", "wrn-34-20", "wrn-70-16", "dm-wrn-28-10-swish", "dm-wrn-70-16-swish"];

impl Architecture {
    /// All fixed names, then examples of the `wrn-D-W` family.
    pub fn known_names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name).chain(WIDE_EXAMPLES)
    }

    fn wide(text: &str) -> Option<Result<Self, ModelError>> {
        let (sizes, activation) = match text.strip_prefix("dm-wrn-") {
            Some(rest) => match rest.strip_suffix("-swish").or(rest.strip_suffix("-silu")) {
                Some(sizes) => (sizes, Some(Activation::Swish)),
                None => (rest, Some(Activation::Relu)),
            },
            None => (text.strip_prefix("wrn-")?, None),
        };
        let (depth, width) = sizes.split_once('-')?;
        let (depth, width) = (depth.parse().ok()?, width.parse().ok()?);
        Some(Self::wide_resnet(depth, width).map(|plain| match activation {
            Some(activation) => Self::DeepMindWideResNet { depth, width, activation },
            None => plain,
        }))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::WideResNet { depth, width } = self {
            return write!(f, "wrn-{depth}-{width}");
        }
        if let Self::DeepMindWideResNet { depth, width, activation } = self {
            let ending = if *activation == Activation::Swish { "-swish" } else { "" };
            return write!(f, "dm-wrn-{depth}-{width}{ending}");
        }
        let name = NAMED.iter().find(|(_, arch)| arch == self).map_or("unnamed", |(name, _)| *name);
        f.write_str(name)
    }
}

impl FromStr for Architecture {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let name = text.trim().to_ascii_lowercase().replace('_', "-");
        if let Some((_, arch)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Ok(*arch);
        }
        if let Some(wide) = Self::wide(&name) {
            return wide;
        }
        let distance = |known: &&str| strsim::levenshtein(&name, known);
        let nearest = Self::known_names().min_by_key(distance).unwrap_or_default();
        Err(ModelError::UnknownArchitecture {
            name: text.to_owned(),
            nearest,
            known: Self::known_names().collect::<Vec<_>>().join(", "),
        })
    }
}

impl From<Architecture> for String {
    fn from(arch: Architecture) -> Self {
        arch.to_string()
    }
}

impl TryFrom<String> for Architecture {
    type Error = ModelError;

    fn try_from(name: String) -> Result<Self, ModelError> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_itself() {
        for name in Architecture::known_names() {
            assert_eq!(name.parse::<Architecture>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn underscores_and_capitals_are_accepted() {
        assert_eq!("WRN_34_10".parse::<Architecture>().unwrap().to_string(), "wrn-34-10");
        assert_eq!(" ResNet20 ".parse::<Architecture>().unwrap(), Architecture::ResNet20);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones_and_the_nearest() {
        let message = "resnet21".parse::<Architecture>().unwrap_err().to_string();
        assert!(message.contains("resnet21") && message.contains("resnext50-32x4d"), "{message}");
        assert!(message.contains("did you mean \"resnet20\""), "{message}");
    }

    #[test]
    fn wide_resnet_sizes_are_checked() {
        assert!(matches!(
            "wrn-30-10".parse::<Architecture>(),
            Err(ModelError::WideResNetSize { depth: 30, width: 10 })
        ));
        assert!("wrn-28-0".parse::<Architecture>().is_err());
        assert!("wrn-4-1".parse::<Architecture>().is_err());
        assert!("dm-wrn-30-10-swish".parse::<Architecture>().is_err());
        assert!("wrn-99999999999999999999-1".parse::<Architecture>().is_err());
    }

    #[test]
    fn serialises_as_its_name() {
        let json = serde_json::to_string(&Architecture::WideResNet { depth: 28, width: 10 }).unwrap();
        assert_eq!(json, "\"wrn-28-10\"");
        assert_eq!(
            serde_json::from_str::<Architecture>(&json).unwrap(),
            Architecture::WideResNet { depth: 28, width: 10 }
        );
    }
}

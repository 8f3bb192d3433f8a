//! The two forms of shortcuts in a CIFAR ResNet.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::blocks::shortcut::ShortcutKind;
use crate::error::ModelError;

/// The shortcuts of a CIFAR ResNet: how a block that halves the resolution and doubles the channels carries its input to
/// its output (He et al., CVPR 2016, §4.1 and §4.2).
///
/// Published weights exist in both forms, which are different networks: `resnet20` has 269 722 weights with padded shortcuts and 272 474
/// with projections. They are written as `padded` and `projected`. See [`ModelConfig::with_shortcuts`](crate::ModelConfig::with_shortcuts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Shortcuts {
    /// Option A: every second pixel, and zeros for the new channels. It has no weights, and the paper's CIFAR experiments use it.
    Padded,
    /// Option B: a 1×1 convolution with stride 2 and batch normalisation.
    Projected,
}

impl fmt::Display for Shortcuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Padded => "padded",
            Self::Projected => "projected",
        })
    }
}

impl FromStr for Shortcuts {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "padded" => Ok(Self::Padded),
            "projected" => Ok(Self::Projected),
            _ => Err(ModelError::UnknownShortcuts { text: text.to_owned() }),
        }
    }
}

impl From<Shortcuts> for ShortcutKind {
    fn from(shortcuts: Shortcuts) -> Self {
        match shortcuts {
            Shortcuts::Padded => Self::Padded,
            Shortcuts::Projected => Self::Projected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_written() {
        for shortcuts in [Shortcuts::Padded, Shortcuts::Projected] {
            assert_eq!(shortcuts.to_string().parse::<Shortcuts>().unwrap(), shortcuts);
            let json = serde_json::to_string(&shortcuts).unwrap();
            assert_eq!(json, format!("\"{shortcuts}\""));
            assert_eq!(serde_json::from_str::<Shortcuts>(&json).unwrap(), shortcuts);
        }
        let message = "b".parse::<Shortcuts>().unwrap_err().to_string();
        assert!(message.contains("\"b\"") && message.contains("padded or projected"), "{message}");
    }
}

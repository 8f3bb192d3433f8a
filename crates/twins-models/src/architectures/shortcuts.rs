//! The two forms of a CIFAR ResNet.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::blocks::shortcut::ShortcutKind;

/// The shortcuts of a CIFAR ResNet: how a block that halves the resolution and doubles the channels carries its input to
/// its output (He et al., CVPR 2016, §4.1 and §4.2).
///
/// Published weights exist in both forms. They are different networks: `resnet20` has 269 722 weights with padded
/// shortcuts and 272 474 with projections. See [`ModelConfig::with_shortcuts`](crate::ModelConfig::with_shortcuts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Shortcuts {
    /// Option A: every second pixel, and zeros for the new channels. No weights; the form of the paper's CIFAR
    /// experiments.
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

impl From<Shortcuts> for ShortcutKind {
    fn from(shortcuts: Shortcuts) -> Self {
        match shortcuts {
            Shortcuts::Padded => Self::Padded,
            Shortcuts::Projected => Self::Projected,
        }
    }
}

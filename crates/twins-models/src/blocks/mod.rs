//! The building blocks that all residual networks share.

mod block;
mod layers;
mod shortcut;

pub(crate) use block::{BlockKind, BlockSpec, ResidualBlock};
pub(crate) use layers::{conv, norm};
pub(crate) use shortcut::ShortcutKind;

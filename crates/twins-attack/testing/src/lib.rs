//! Code that is shared by the tests of `twins-attack` and of attacks on other backends. Not published.

mod attacks;
mod comparison;
mod ensemble;
mod golden;
mod interruption;

pub use attacks::{Repeated, attacks};
pub use comparison::{ROUNDING, host, margins};
pub use ensemble::{autoattack, evaluate, timeless};
pub use golden::{Golden, Net};
pub use interruption::{Folder, Killer, resumable};
pub use twins_testing::difference;

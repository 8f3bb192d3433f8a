//! Fast adaptive boundary: the nearest point behind the decision boundary.

mod config;
mod hyperplane;
mod search;

pub use config::{Fab, FabCandidates, FabConfig, FabDepth};

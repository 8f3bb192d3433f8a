//! A network and a data set that are small enough for many training runs in a test, and functions to compare runs. Not
//! published.

mod comparison;
mod forged;
mod net;
mod runs;
mod squares;

pub use comparison::{difference, state, tensors};
pub use forged::{Forged, forged};
pub use net::Net;
pub use runs::{config, cpus, trainer};
pub use squares::Squares;

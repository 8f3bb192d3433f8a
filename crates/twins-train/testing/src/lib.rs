//! A network and a data set small enough for many trainings in a test, and what trainings are compared by. Not published.

mod comparison;
mod net;
mod runs;
mod squares;

pub use comparison::{difference, state, tensors};
pub use net::Net;
pub use runs::{config, cpus, trainer};
pub use squares::Squares;

//! What an attacker may change: norms, balls around an image, and the geometry that attacks need of them.

pub(crate) mod l1_projection;
pub(crate) mod length;
pub(crate) mod norm;
pub(crate) mod threat_model;

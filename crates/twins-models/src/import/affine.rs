//! Detects whether the file of a two-wing network has one gamma and beta per wing.

use twins_nn::Affine;

use crate::error::ModelError;
use crate::import::checkpoint::Checkpoint;
use crate::network::net::Net;

/// Converts the network to the form of the file: `PerWing` if the file has a frozen gamma, `Shared` if it has only
/// frozen statistics. Files of other programs have neither and can be loaded into both forms.
pub(super) fn in_form_of(net: Net, checkpoint: &Checkpoint) -> Result<Net, ModelError> {
    let has = |names: [&str; 2]| {
        checkpoint.entries.keys().any(|key| names.contains(&key.rsplit('.').next().unwrap_or_default()))
    };
    let form = if has(["frozen_weight", "frozen_gamma"]) {
        Affine::PerWing
    } else if has(["frozen_running_mean", "frozen_mean"]) {
        Affine::Shared
    } else {
        return Ok(net);
    };
    if net.affine() == form || !net.architecture().has_batch_norm() { Ok(net) } else { net.with_affine(form) }
}

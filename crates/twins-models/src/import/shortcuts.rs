//! Detects the shortcuts of a CIFAR ResNet from the entries of a file.

use crate::architectures::naming::Naming;
use crate::architectures::shortcuts::Shortcuts;
use crate::architectures::spec::namings;
use crate::error::ModelError;
use crate::import::checkpoint::Checkpoint;
use crate::import::locate::locate;
use crate::import::options::ImportOptions;
use crate::import::report::WeightFormat;
use crate::network::net::Net;
use crate::network::slots::slots;

/// Returns the network with projection shortcuts if the file has them and the configuration specifies no shortcuts.
pub(super) fn with_shortcuts_of(
    net: Net,
    checkpoint: &Checkpoint,
    options: &ImportOptions,
) -> Result<Net, ModelError> {
    let arch = net.architecture();
    if !arch.has_both_shortcuts() || net.config().shortcuts().is_some() {
        return Ok(net);
    }
    let namings = match checkpoint.format {
        WeightFormat::Burnpack => &[Naming::Burn],
        _ => namings(arch, Some(Shortcuts::Projected)),
    };
    let slots = slots(&net.body_with(Shortcuts::Projected));
    let location = locate(checkpoint, &slots, namings, options.entry())?;
    let mut projections = slots.iter().filter(|slot| slot.path.ends_with(".shortcut.conv.weight"));
    let in_file = |path: &str| {
        checkpoint.entries.contains_key(&format!("{}{}", location.prefix, location.naming.key(path)))
    };
    Ok(if projections.any(|slot| in_file(&slot.path)) {
        net.with_shortcuts(Shortcuts::Projected)
    } else {
        net
    })
}

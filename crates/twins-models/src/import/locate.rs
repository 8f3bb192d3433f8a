//! Finds a network's entries in a file: the dictionary, the prefix and the naming scheme.

use std::collections::{HashMap, HashSet};

use crate::architectures::naming::Naming;
use crate::error::ModelError;
use crate::import::checkpoint::Checkpoint;
use crate::network::slots::Slot;

/// Names of the dictionaries in which published checkpoints store the weights, the most likely first. If two
/// dictionaries of a file have the same entries (weights and their moving average), the one that is first in this list
/// is read.
const ENTRIES: [&str; 8] =
    ["state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "last"];

/// The location of a network's entries in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) naming: Naming,
    /// The prefix of the file's keys, including its last dot.
    pub(crate) prefix: String,
    /// The dictionary that contains them; empty for the root of the file.
    pub(crate) entry: String,
    /// Whether at least half of the network's entries were found there.
    pub(crate) fits: bool,
}

/// Finds the location with the most of the network's entries.
pub(crate) fn locate(
    checkpoint: &Checkpoint,
    slots: &[Slot],
    namings: &[Naming],
    entry: Option<&str>,
) -> Result<Location, ModelError> {
    let known = |entry: &&str| checkpoint.dictionaries.contains(*entry) || checkpoint.layers.contains(*entry);
    if let Some(entry) = entry.filter(|entry| !known(entry)) {
        let available = checkpoint.dictionaries.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>();
        return Err(ModelError::NoSuchEntry {
            path: checkpoint.path.clone(),
            entry: entry.to_owned(),
            available: available.join(", "),
        });
    }
    let inside = |key: &&String| match entry {
        Some(entry) if !entry.is_empty() => is_inside(key, entry),
        _ => true,
    };
    let keys: Vec<&String> = checkpoint.entries.keys().filter(inside).collect();
    let mut best: Option<(Naming, String, usize)> = None;
    for naming in namings {
        for (prefix, count) in candidates(&keys, slots, *naming) {
            let better = best.as_ref().is_none_or(|(_, other, found)| {
                count > *found || (count == *found && rank(&prefix) < rank(other))
            });
            if better {
                best = Some((*naming, prefix, count));
            }
        }
    }
    let wanted = slots.iter().filter(|slot| slot.adaptive_path().is_none()).count();
    match best {
        Some((naming, prefix, count)) if 2 * count >= wanted => {
            Ok(Location { naming, entry: dictionary(checkpoint, &prefix, entry), prefix, fits: true })
        }
        _ => {
            let entry = match entry {
                Some(entry) => entry.to_owned(),
                None => likeliest(checkpoint),
            };
            let prefix = if entry.is_empty() { String::new() } else { format!("{entry}.") };
            Ok(Location { naming: namings[0], prefix, entry, fits: false })
        }
    }
}

/// Every prefix of some of the network's keys, with the number of those keys.
fn candidates(keys: &[&String], slots: &[Slot], naming: Naming) -> HashMap<String, usize> {
    let wanted: HashSet<String> = slots
        .iter()
        .filter(|slot| slot.adaptive_path().is_none())
        .map(|slot| naming.key(&slot.path))
        .collect();
    let longest = wanted.iter().map(String::len).max().unwrap_or(0);
    let mut found = HashMap::new();
    for key in keys {
        let starts = std::iter::once(0).chain(key.match_indices('.').map(|(dot, _)| dot + 1));
        // A key may have any length, and as many dots.
        let starts = starts.filter(|start| key.len() - start <= longest);
        for start in starts.filter(|start| wanted.contains(&key[*start..])) {
            *found.entry(key[..start].to_owned()).or_insert(0) += 1;
        }
    }
    found
}

/// The order of preference among prefixes with equally many matches.
fn rank(prefix: &str) -> (bool, usize, usize, &str) {
    let segments = || prefix.split('.');
    let copy =
        segments().any(|segment| matches!(segment, "attacker" | "optimizer") || segment.contains("ema"));
    let first = segments().next().unwrap_or_default();
    let known = ENTRIES.iter().position(|name| *name == first).unwrap_or(ENTRIES.len());
    (copy, known, prefix.len(), prefix)
}

/// The innermost dictionary that contains a prefix. The requested entry counts as one, also if it is a layer of a pickled module.
fn dictionary(checkpoint: &Checkpoint, prefix: &str, entry: Option<&str>) -> String {
    let dictionaries = checkpoint.dictionaries.iter().map(String::as_str).chain(entry);
    let around = dictionaries.filter(|name| is_inside(prefix, name));
    around.max_by_key(|name| name.len()).unwrap_or_default().to_owned()
}

/// The dictionary to compare with if no location fits.
fn likeliest(checkpoint: &Checkpoint) -> String {
    let known = ENTRIES.iter().find(|name| checkpoint.dictionaries.contains(**name));
    known.map(|name| (*name).to_owned()).unwrap_or_default()
}

/// Whether a key is inside a dictionary; every key is inside the root.
pub(crate) fn is_inside(key: &str, dictionary: &str) -> bool {
    dictionary.is_empty() || key.strip_prefix(dictionary).is_some_and(|rest| rest.starts_with('.'))
}

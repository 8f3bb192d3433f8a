//! Matches the entries of a file to a network, and collects all differences.

use std::collections::{BTreeMap, BTreeSet};

use crate::architectures::naming::Naming;
use crate::import::checkpoint::Checkpoint;
use crate::import::entry::Entry;
use crate::import::locate::{Location, is_inside};
use crate::import::mismatch::{ImportMismatch, ShapeMismatch};
use crate::import::options::ImportOptions;
use crate::import::report::IgnoredEntry;
use crate::network::slots::Slot;

/// Names under which checkpoints store the mean and standard deviation of their input.
const NORMALISERS: [(&str, &str); 3] = [("new_mean", "new_std"), ("mean", "std"), ("mu", "sigma")];

/// An import whose entries have been matched but not read.
pub(crate) struct Plan<'a> {
    /// The entries to read: slot, file key, entry.
    pub(crate) reads: Vec<(Slot, String, &'a Entry)>,
    /// Frozen-wing paths, and the adaptive-wing paths whose values are copied to them.
    pub(crate) copies: Vec<(String, String)>,
    /// Paths that keep their initial values.
    pub(crate) kept: Vec<String>,
    pub(crate) ignored: Vec<IgnoredEntry>,
    /// The file's mean and standard deviation of the input.
    pub(crate) normaliser: Option<(&'a Entry, &'a Entry)>,
    pub(crate) mismatch: ImportMismatch,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        checkpoint: &'a Checkpoint,
        slots: &[Slot],
        location: &Location,
        channels: usize,
        options: &ImportOptions,
    ) -> Self {
        let mut plan = Self {
            reads: Vec::new(),
            copies: Vec::new(),
            kept: Vec::new(),
            ignored: Vec::new(),
            normaliser: None,
            mismatch: ImportMismatch::default(),
        };
        plan.match_slots(checkpoint, slots, location, options);
        plan.sort_out_the_rest(checkpoint, location, channels, options);
        plan.mismatch.hint = plan.hint(location);
        plan
    }

    fn match_slots(
        &mut self,
        checkpoint: &'a Checkpoint,
        slots: &[Slot],
        location: &Location,
        options: &ImportOptions,
    ) {
        // Files of other programs have one set of batch-normalisation values; model files of this library have two.
        let two_wings = checkpoint.entries.keys().any(|key| {
            key.starts_with(&location.prefix)
                && key.rsplit('.').next().is_some_and(|parameter| parameter.starts_with("frozen_"))
        });
        for slot in slots {
            if let (false, Some(adaptive)) = (two_wings, slot.adaptive_path()) {
                if self.kept.contains(&adaptive) {
                    self.kept.push(slot.path.clone());
                } else {
                    self.copies.push((slot.path.clone(), adaptive));
                }
                continue;
            }
            let key = format!("{}{}", location.prefix, location.naming.key(&slot.path));
            match checkpoint.entries.get(&key) {
                Some(entry) if entry.shape == slot.file_shape() => {
                    self.reads.push((slot.clone(), key, entry))
                }
                _ if options.allows(&key) => self.kept.push(slot.path.clone()),
                Some(entry) => self.mismatch.shape_mismatches.push(ShapeMismatch {
                    key,
                    expected: slot.file_shape(),
                    found: entry.shape.clone(),
                }),
                None => match checkpoint.objects.get(&key) {
                    Some(kind) => self.mismatch.not_tensors.push((key, kind.clone())),
                    None => self.mismatch.missing.push((key, slot.file_shape())),
                },
            }
        }
    }

    fn sort_out_the_rest(
        &mut self,
        checkpoint: &'a Checkpoint,
        location: &Location,
        channels: usize,
        options: &ImportOptions,
    ) {
        let used: BTreeSet<&str> = self
            .reads
            .iter()
            .map(|(_, key, _)| key.as_str())
            .chain(self.mismatch.shape_mismatches.iter().map(|shape| shape.key.as_str()))
            .collect();
        let rest: BTreeMap<&String, &'a Entry> =
            checkpoint.entries.iter().filter(|(key, _)| !used.contains(key.as_str())).collect();
        let normaliser = find_normaliser(&rest, channels);
        if let Some((mean, std)) = normaliser {
            self.normaliser = Some((rest[mean], rest[std]));
        }
        let mut ignored: BTreeMap<String, &'static str> = BTreeMap::new();
        for (key, entry) in rest {
            let group = if normaliser.is_some_and(|(mean, std)| key == mean || key == std) {
                (key.clone(), "normalisation of the input")
            } else if !is_inside(key, &location.entry) {
                (outside(key, &location.entry), "outside the entry that holds the weights")
            } else if let Some(at) = segment(key, "attacker") {
                (format!("{}attacker.*", &key[..at]), "the attacker's copy of the model")
            } else if key.ends_with("num_batches_tracked") {
                ("*.num_batches_tracked".to_owned(), "counts batches, is no weight")
            } else if location.naming == Naming::Wide
                && let Some(at) = segment(key, "sub_block1")
            {
                (format!("{}sub_block1.*", &key[..at]), "built and never run by the published code")
            } else if options.allows(key) {
                (key.clone(), "unexpected, but allowed")
            } else {
                self.mismatch.unexpected.push((key.clone(), entry.shape.clone()));
                continue;
            };
            ignored.insert(group.0, group.1);
        }
        self.ignored = ignored.into_iter().map(|(key, reason)| IgnoredEntry { key, reason }).collect();
    }

    fn hint(&self, location: &Location) -> Option<String> {
        let mismatch = &self.mismatch;
        if mismatch.is_empty() {
            return None;
        }
        if !location.fits {
            return Some("most entries have other names: is this the file's architecture? If the names alone differ, rename them"
                .to_owned());
        }
        let head = mismatch.shape_mismatches.iter().find(|shape| {
            shape.expected.len() == 1 && shape.found.len() == 1 && shape.key.ends_with(".bias")
        });
        head.filter(|_| mismatch.shape_mismatches.len() <= 2).map(|shape| {
            format!(
                "the file was trained for {} classes, not {}: load it with its own number and give it a new head",
                shape.found[0], shape.expected[0]
            )
        })
    }
}

/// The part of a file that contains a key, but not the dictionary with the weights: `a.c.*` for `a.c.d` outside `a.b`.
fn outside(key: &str, dictionary: &str) -> String {
    let shared = key.split('.').zip(dictionary.split('.')).take_while(|(part, other)| part == other).count();
    match key.match_indices('.').nth(shared) {
        Some((dot, _)) => format!("{}.*", &key[..dot]),
        None => key.to_owned(),
    }
}

/// The position at which a segment of a dotted key begins.
fn segment(key: &str, name: &str) -> Option<usize> {
    let mut start = 0;
    for part in key.split('.') {
        if part == name {
            return Some(start);
        }
        start += part.len() + 1;
    }
    None
}

/// Finds the keys of the input's mean and standard deviation among the remaining entries of a file.
fn find_normaliser<'k>(
    rest: &BTreeMap<&'k String, &Entry>,
    channels: usize,
) -> Option<(&'k String, &'k String)> {
    let fits = |entry: &&Entry| entry.num_elements() == channels;
    rest.iter().filter(|(key, entry)| fits(entry) && segment(key, "attacker").is_none()).find_map(
        |(key, _)| {
            let (parent, parameter) =
                key.rsplit_once('.').map_or(("", key.as_str()), |(parent, parameter)| (parent, parameter));
            let (_, std) = NORMALISERS.iter().find(|(mean, _)| *mean == parameter)?;
            let std = if parent.is_empty() { (*std).to_owned() } else { format!("{parent}.{std}") };
            let (std, _) = rest.get_key_value(&std).filter(|(_, entry)| fits(entry))?;
            Some((*key, *std))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_the_weights_does_not_contain_them() {
        for (key, dictionary, expected) in [
            ("optimizer.state.0.exp_avg", "state_dict", "optimizer.*"),
            ("checkpoint.ema.conv1.weight", "checkpoint.model", "checkpoint.ema.*"),
            ("models.1.conv1.weight", "models.0", "models.1.*"),
            ("checkpoint.steps", "checkpoint.model", "checkpoint.steps"),
            ("steps", "state_dict", "steps"),
        ] {
            assert_eq!(outside(key, dictionary), expected);
        }
    }
}

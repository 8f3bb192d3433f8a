use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use burn::module::Module;
use burn::store::{ApplyResult, BurnpackStore, ModuleRecord, ModuleStore};

use crate::batch_norm_view::{BatchNormView, Findings, Pass, Slot};
use crate::{StatisticsError, TwinsModule};

/// Why a model with `BatchNorm` layers could not be loaded into a two-wing model. Nothing was loaded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The target model has no two-wing layer.
    #[error(
        "the model has no TwinsBatchNorm layer; change the type of its BatchNorm fields to TwinsBatchNorm, or load the source \
         with Burn's own load_record"
    )]
    NoTwinsLayers,
    /// The store or record cannot be read.
    #[error("the source cannot be read: {problem}")]
    Source {
        /// The error of Burn's store.
        problem: String,
    },
    /// The source does not fit the model.
    #[error("the source does not fit the model, and nothing was loaded: {0}")]
    Mismatch(Box<LoadMismatch>),
    /// A mean or variance in the source is not finite, or a variance is negative.
    #[error("nothing was loaded: {0}")]
    Statistics(#[from] StatisticsError),
}

/// Every difference between a source and a model, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadMismatch {
    /// Parameters that the model needs and the source does not have, with their shapes.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Entries of the source that the model has no place for, with their shapes.
    pub unexpected: Vec<(String, Vec<usize>)>,
    /// Entries whose shapes differ: the path, the shape in the model and the shape in the source.
    pub shape_mismatches: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Entries that the source has but did not provide, because its filter excludes them, its adapter changes their shape, or
    /// their values have the wrong type.
    pub withheld: Vec<String>,
}

impl LoadMismatch {
    /// Whether the source fits the model.
    pub fn is_empty(&self) -> bool {
        let Self { missing, unexpected, shape_mismatches, withheld } = self;
        missing.is_empty() && unexpected.is_empty() && shape_mismatches.is_empty() && withheld.is_empty()
    }

    fn hint(&self) -> Option<&'static str> {
        let frozen = |(path, _): &(String, Vec<usize>)| {
            path.rsplit('.').next().is_some_and(|leaf| leaf.starts_with("frozen_"))
        };
        if self.unexpected.iter().any(frozen) {
            Some("the source has frozen wings of its own: load it with Burn's load_record or load_from")
        } else if !self.missing.is_empty() && !self.unexpected.is_empty() {
            Some(
                "a layer may have another name in the source: rename it in the model, or with the store's key remapping",
            )
        } else {
            None
        }
    }
}

impl fmt::Display for LoadMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, unexpected, shape_mismatches, withheld } = self;
        let [missing_count, unexpected_count] = [missing, unexpected].map(Vec::len);
        write!(
            f,
            "{missing_count} missing, {unexpected_count} unexpected, {} of another shape",
            shape_mismatches.len()
        )?;
        if let Some(hint) = self.hint() {
            write!(f, " ({hint})")?;
        }
        for (path, shape) in missing {
            write!(f, "\n  missing: {path} {shape:?}")?;
        }
        for (path, shape) in unexpected {
            write!(f, "\n  unexpected: {path} {shape:?}")?;
        }
        for (path, expected, found) in shape_mismatches {
            write!(f, "\n  shape: {path} is {found:?}, the model needs {expected:?}")?;
        }
        for path in withheld {
            write!(f, "\n  not given, because of the store's filter or adapter, or its type: {path}")?;
        }
        Ok(())
    }
}

/// Loads a store into a model, after checking that everything fits.
pub(crate) fn load_from<M: Module, S: ModuleStore>(model: M, store: &mut S) -> Result<M, LoadError> {
    let mut view = BatchNormView { model: checked(model, store)?, pass: Pass::Load };
    store.apply_to(&mut view).map_err(unreadable)?;
    Ok(view.model.copy_adaptive_to_frozen())
}

/// Loads a record into a model, after the same check.
pub(crate) fn load_record<M: Module>(model: M, record: ModuleRecord) -> Result<M, LoadError> {
    let bytes = record.clone().into_bytes().map_err(unreadable)?;
    let model = checked(model, &mut BurnpackStore::from_bytes(Some(bytes)))?;
    let view = BatchNormView { model, pass: Pass::Load };
    // From the record, because the bytes lack its dtype policy. The check has refused what must not be unused.
    let view = view.try_load_record(record.allow_unused(true)).map_err(unreadable)?;
    Ok(view.model.copy_adaptive_to_frozen())
}

/// Returns the model unchanged, if everything in the store fits.
fn checked<M: Module, S: ModuleStore>(model: M, store: &mut S) -> Result<M, LoadError> {
    if model.num_twins_layers() == 0 {
        return Err(LoadError::NoTwinsLayers);
    }
    let entries = store.get_all_tensors().map_err(unreadable)?;
    let entries: BTreeMap<String, Vec<usize>> =
        entries.iter().map(|(name, tensor)| (name.clone(), tensor.shape.to_vec())).collect();

    let mut view = BatchNormView { model, pass: Pass::Check(Findings::default()) };
    // A store may reject or accept missing entries. In both cases the result of the check has more details than the
    // store's error.
    let outcome = store.apply_to(&mut view);
    let BatchNormView { model, pass } = view;
    let Pass::Check(Findings { slots, statistics }) = pass else { unreachable!("a check was asked for") };
    let mismatch = compare(&slots, &entries, outcome.as_ref().ok());
    if !mismatch.is_empty() {
        return Err(LoadError::Mismatch(Box::new(mismatch)));
    }
    outcome.map_err(unreadable)?;
    match statistics {
        Some(error) => Err(error.into()),
        None => Ok(model),
    }
}

fn unreadable(error: impl fmt::Display) -> LoadError {
    LoadError::Source { problem: error.to_string() }
}

/// Returns every difference between the parameters of a model and the entries of a source.
fn compare(
    slots: &[Slot],
    entries: &BTreeMap<String, Vec<usize>>,
    applied: Option<&ApplyResult>,
) -> LoadMismatch {
    let mut mismatch = LoadMismatch::default();
    let mut used = BTreeSet::new();
    let skipped = |path: &String| applied.is_some_and(|applied| applied.skipped.contains(path));
    for slot in slots {
        let entry = names(slot).into_iter().find_map(|name| entries.get_key_value(&name));
        used.extend(entry.map(|(name, _)| name.as_str()));
        match entry {
            _ if slot.filled => {}
            None => mismatch.missing.push((slot.path.clone(), slot.shape.clone())),
            Some(_) if skipped(&slot.path) || skipped(&slot.plain_path) => {
                mismatch.withheld.push(slot.path.clone());
            }
            Some((_, found)) if *found != slot.shape => {
                mismatch.shape_mismatches.push((slot.path.clone(), slot.shape.clone(), found.clone()));
            }
            Some(_) => mismatch.withheld.push(slot.path.clone()),
        }
    }
    let unexpected = |name: &&String| match applied {
        Some(applied) => applied.unused.contains(name),
        None => !used.contains(name.as_str()),
    };
    let unexpected = entries.keys().filter(unexpected).filter(|name| !is_batch_counter(name));
    mismatch.unexpected = unexpected.map(|name| (name.clone(), entries[name].clone())).collect();
    mismatch
}

/// The names that a parameter may have in a source: with and without enum variants, and PyTorch's names for
/// normalisation layers.
fn names(slot: &Slot) -> Vec<String> {
    let torch = |path: &str| {
        let (layer, field) = path.rsplit_once('.').unwrap_or(("", path));
        let renamed = match field {
            "gamma" => "weight",
            "beta" => "bias",
            _ => return None,
        };
        Some(if layer.is_empty() { renamed.to_owned() } else { format!("{layer}.{renamed}") })
    };
    let own = [&slot.path, &slot.plain_path];
    let renamed = own.into_iter().filter(|_| slot.in_norm).filter_map(|path| torch(path));
    own.into_iter().cloned().chain(renamed).collect()
}

/// Whether this is the batch counter of PyTorch's batch normalisation, which no forward pass reads.
fn is_batch_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked")
}

//! What an import did.

use std::fmt;
use std::path::PathBuf;

use crate::architectures::shortcuts::Shortcuts;
use crate::network::normalisation::Normalisation;

/// The format of a weight file, told by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightFormat {
    /// PyTorch's ZIP archive (1.6 and later).
    PytorchZip,
    /// PyTorch's stream of pickles (before 1.6).
    PytorchLegacy,
    /// safetensors.
    Safetensors,
    /// A record of Burn.
    Burnpack,
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PytorchZip => "PyTorch (zip)",
            Self::PytorchLegacy => "PyTorch (legacy)",
            Self::Safetensors => "safetensors",
            Self::Burnpack => "burnpack",
        })
    }
}

/// One entry of the file and where it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedEntry {
    /// The file's key, or its new name where it was renamed.
    pub key: String,
    /// The file's key of an entry that was renamed.
    pub renamed_from: Option<String>,
    /// Path through the network's fields.
    pub module_path: String,
    /// Shape in the file.
    pub shape: Vec<usize>,
}

/// Entries of the file that were passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredEntry {
    /// The file's key, or the name of the dictionary that was passed over as a whole.
    pub key: String,
    /// Why.
    pub reason: &'static str,
}

/// What an import did: printed by `convert`, logged by the trainer.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportReport {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: WeightFormat,
    /// The dictionary of the file that held the weights; empty for the file itself.
    pub entry: String,
    /// What was stripped from the front of the file's keys, the entry's name included.
    pub prefix: String,
    /// Every entry that was read, in the network's order.
    pub mapped: Vec<MappedEntry>,
    /// Parameters that kept their initial values, because a pattern allowed it.
    pub kept: Vec<String>,
    /// Entries that were passed over.
    pub ignored: Vec<IgnoredEntry>,
    /// Batch-normalisation values of the frozen wing that were copied from the adaptive wing's.
    pub copied_to_frozen: usize,
    /// The normalisation that the file brought along.
    pub normalisation: Option<Normalisation>,
    /// Shortcuts of the network: those that were configured, or [`Shortcuts::Projected`] where the file has projections.
    pub shortcuts: Option<Shortcuts>,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}, {} entries read", self.path.display(), self.format, self.mapped.len())?;
        if !self.prefix.is_empty() {
            writeln!(f, "  prefix stripped: {}", self.prefix)?;
        }
        for MappedEntry { key, renamed_from, module_path, shape } in &self.mapped {
            match renamed_from {
                Some(own) => writeln!(f, "  {own} = {key} {shape:?} -> {module_path}")?,
                None => writeln!(f, "  {key} {shape:?} -> {module_path}")?,
            }
        }
        for path in &self.kept {
            writeln!(f, "  kept its initial values: {path}")?;
        }
        for IgnoredEntry { key, reason } in &self.ignored {
            writeln!(f, "  ignored: {key} ({reason})")?;
        }
        if let Some(norm) = &self.normalisation {
            writeln!(f, "  normalisation from the file: mean {:?}, std {:?}", norm.mean(), norm.std())?;
        }
        if let Some(shortcuts) = self.shortcuts {
            writeln!(f, "  shortcuts: {shortcuts}")?;
        }
        if self.copied_to_frozen > 0 {
            writeln!(f, "  copied to the frozen wing: {} entries", self.copied_to_frozen)?;
        }
        Ok(())
    }
}

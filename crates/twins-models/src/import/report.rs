//! The report of an import.

use std::fmt;
use std::path::PathBuf;

use twins_files::one_line;

use crate::architectures::shortcuts::Shortcuts;
use crate::network::normalisation::Normalisation;

/// The format of a weight file, detected from its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightFormat {
    /// PyTorch's ZIP archive (1.6 and later).
    PytorchZip,
    /// PyTorch's stream of pickles (before 1.6).
    PytorchLegacy,
    /// safetensors.
    Safetensors,
    /// A Burn record.
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

/// An entry of the file and the parameter that it was loaded into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedEntry {
    /// The file's key, or the new name if the entry was renamed.
    pub key: String,
    /// The original key of a renamed entry.
    pub renamed_from: Option<String>,
    /// The path through the network's fields.
    pub module_path: String,
    /// Shape in the file.
    pub shape: Vec<usize>,
}

/// An ignored entry of the file, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredEntry {
    /// The file's key, or the name of a dictionary that was ignored as a whole.
    pub key: String,
    /// The reason.
    pub reason: &'static str,
}

/// The report of an import, which `convert` prints and the trainer logs.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportReport {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: WeightFormat,
    /// The dictionary in the file that contained the weights; empty for the root of the file.
    pub entry: String,
    /// The prefix removed from the file's keys, including the entry's name.
    pub prefix: String,
    /// Every entry that was read, in the network's order.
    pub mapped: Vec<MappedEntry>,
    /// Parameters that kept their initial values because a pattern allowed it.
    pub kept: Vec<String>,
    /// Ignored entries.
    pub ignored: Vec<IgnoredEntry>,
    /// The number of batch-normalisation values of the frozen wing that were copied from the adaptive wing.
    pub copied_to_frozen: usize,
    /// The normalisation in the file, if it has one.
    pub normalisation: Option<Normalisation>,
    /// The network's shortcuts: the configured ones, or [`Shortcuts::Projected`] if the file has projections.
    pub shortcuts: Option<Shortcuts>,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}, {} entries read", self.path.display(), self.format, self.mapped.len())?;
        if !self.prefix.is_empty() {
            writeln!(f, "  prefix stripped: {}", one_line(&self.prefix))?;
        }
        for MappedEntry { key, renamed_from, module_path, shape } in &self.mapped {
            match renamed_from {
                Some(own) => {
                    writeln!(f, "  {} = {} {shape:?} -> {module_path}", one_line(own), one_line(key))?
                }
                None => writeln!(f, "  {} {shape:?} -> {module_path}", one_line(key))?,
            }
        }
        for path in &self.kept {
            writeln!(f, "  kept its initial values: {path}")?;
        }
        for IgnoredEntry { key, reason } in &self.ignored {
            writeln!(f, "  ignored: {} ({reason})", one_line(key))?;
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

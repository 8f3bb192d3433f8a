//! Differences between a weight file and a network.

use std::fmt;

use twins_files::one_line;

/// An entry whose shape differs from the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// The file's key.
    pub key: String,
    /// Shape that the network needs, in the file's order.
    pub expected: Vec<usize>,
    /// Shape in the file.
    pub found: Vec<usize>,
}

/// All differences between a weight file and a network, by the file's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportMismatch {
    /// Entries that the network needs and the file lacks, with their shapes.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Entries of the file that the network does not have, with their shapes.
    pub unexpected: Vec<(String, Vec<usize>)>,
    /// Entries with a different shape.
    pub shape_mismatches: Vec<ShapeMismatch>,
    /// Entries that exist but are not tensors, with the name of their Python type.
    pub not_tensors: Vec<(String, String)>,
    /// A suggestion, if the differences allow one.
    pub hint: Option<String>,
}

impl ImportMismatch {
    /// Whether there are no differences.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.shape_mismatches.is_empty()
            && self.not_tensors.is_empty()
    }
}

impl fmt::Display for ImportMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} missing, {} unexpected, {} of another shape",
            self.missing.len(),
            self.unexpected.len(),
            self.shape_mismatches.len()
        )?;
        if let Some(hint) = &self.hint {
            write!(f, " ({})", one_line(hint))?;
        }
        for (key, shape) in &self.missing {
            write!(f, "\n  missing: {} {shape:?}", one_line(key))?;
        }
        for (key, shape) in &self.unexpected {
            write!(f, "\n  unexpected: {} {shape:?}", one_line(key))?;
        }
        for ShapeMismatch { key, expected, found } in &self.shape_mismatches {
            write!(f, "\n  shape: {} is {found:?}, the network needs {expected:?}", one_line(key))?;
        }
        for (key, kind) in &self.not_tensors {
            write!(f, "\n  not a tensor: {} is a {}", one_line(key), one_line(kind))?;
        }
        Ok(())
    }
}

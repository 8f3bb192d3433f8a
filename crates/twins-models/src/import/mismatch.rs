//! What does not fit between a file and a network.

use std::fmt;

/// An entry whose shape is not the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// The file's key.
    pub key: String,
    /// Shape that the network needs, in the file's order.
    pub expected: Vec<usize>,
    /// Shape in the file.
    pub found: Vec<usize>,
}

/// Everything that does not fit between a file and a network, by the file's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportMismatch {
    /// Entries that the network needs and the file lacks, with their shapes.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Entries that the file has and the network has no place for, with their shapes.
    pub left_over: Vec<(String, Vec<usize>)>,
    /// Entries of another shape.
    pub misshapen: Vec<ShapeMismatch>,
    /// Entries that are there but hold no tensor, with the name of their Python type.
    pub not_tensors: Vec<(String, String)>,
    /// What to try, where the differences suggest it.
    pub hint: Option<String>,
}

impl ImportMismatch {
    /// Whether everything fits.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.left_over.is_empty()
            && self.misshapen.is_empty()
            && self.not_tensors.is_empty()
    }
}

impl fmt::Display for ImportMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} missing, {} left over, {} of another shape",
            self.missing.len(),
            self.left_over.len(),
            self.misshapen.len()
        )?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        for (key, shape) in &self.missing {
            write!(f, "\n  missing: {key} {shape:?}")?;
        }
        for (key, shape) in &self.left_over {
            write!(f, "\n  left over: {key} {shape:?}")?;
        }
        for ShapeMismatch { key, expected, found } in &self.misshapen {
            write!(f, "\n  shape: {key} is {found:?}, the network needs {expected:?}")?;
        }
        for (key, kind) in &self.not_tensors {
            write!(f, "\n  not a tensor: {key} is a {kind}")?;
        }
        Ok(())
    }
}

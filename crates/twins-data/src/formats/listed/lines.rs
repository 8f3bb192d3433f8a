use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::file::read;
use crate::formats::listed::fault::ListFault;

/// A text file of a data set. It takes as much memory as the file has bytes.
pub(super) struct TextFile {
    pub(super) path: PathBuf,
    text: String,
}

impl TextFile {
    pub(super) fn read(path: PathBuf) -> Result<Self, DataError> {
        let bytes = read(&path)?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let line = 1 + error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count();
                Err(fault(&path, line, ListFault::NotText))
            }
        }
    }

    /// The lines that are not empty, each with its number from 1. Some editors begin a file with a byte order mark, which is left out.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(&self.text);
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        lines.filter(|(_, line)| !line.is_empty())
    }

    /// Creates the error for a line.
    pub(super) fn fault(&self, line: usize, fault_found: ListFault) -> DataError {
        fault(&self.path, line, fault_found)
    }

    /// Creates the error for a line that does not have the expected form.
    pub(super) fn syntax(&self, line: usize, found: &str, expected: &'static str) -> DataError {
        self.fault(line, ListFault::Syntax { found: abridged(found), expected })
    }
}

pub(super) fn fault(path: &Path, line: usize, fault: ListFault) -> DataError {
    DataError::List { path: path.to_path_buf(), line, fault }
}

/// Shortens text to fit into a message.
pub(super) fn abridged(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

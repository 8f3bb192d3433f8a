use std::path::PathBuf;

use super::error::JournalError;
use super::read::Journal;

/// What happens to a journal that already exists when an evaluation starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingJournal {
    /// The evaluation is resumed from it. If there is no journal, the evaluation starts from the beginning.
    Resume,
    /// It is replaced.
    Replace,
}

/// Where an evaluation keeps its journal.
#[derive(Debug)]
pub(crate) struct JournalPlace {
    pub(crate) path: PathBuf,
    /// Distinguishes the model from other models.
    pub(crate) tag: String,
    pub(crate) existing: ExistingJournal,
}

impl JournalPlace {
    /// Reads the journal that is to be resumed, if it exists.
    ///
    /// # Errors
    /// [`JournalError::OtherTag`], and the errors of [`Journal::read`].
    pub(crate) fn earlier(&self) -> Result<Option<Journal>, JournalError> {
        if self.existing == ExistingJournal::Replace {
            return Ok(None);
        }
        let journal = Journal::read(&self.path)?;
        match &journal {
            Some(journal) if journal.tag() != self.tag => Err(JournalError::OtherTag {
                path: self.path.clone(),
                expected: self.tag.clone(),
                found: journal.tag().to_owned(),
            }),
            _ => Ok(journal),
        }
    }
}

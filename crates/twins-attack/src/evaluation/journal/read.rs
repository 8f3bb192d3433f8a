use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::encoding::{decode_beginning, decode_floats, decode_outcome};
use super::error::JournalError;
use super::record::{HEADER, Next, filled, next};
use super::{MAGIC, PREAMBLE, VERSION};
use crate::evaluation::identity::Identity;
use crate::evaluation::outcome::Outcome;

/// A journal of an evaluation ([`RobustnessEvaluation::with_journal`](crate::RobustnessEvaluation::with_journal)) that
/// was read from its file. It holds the outcomes and the positions of the adversarial examples in the file. The
/// adversarial examples themselves stay in the file.
///
/// An outcome takes 100 bytes. If the attack succeeded, it takes four more bytes for each norm of the evaluation's
/// threat models, and four for each value of the adversarial example.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{ExistingJournal, Journal, Norm, PgdConfig, RobustnessEvaluation, Samples, Silent, ThreatModel};
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let samples = Samples::new(Tensor::from_floats([[[[0.6, 0.5]]]], &Device::flex()), vec![0])?;
/// # let folder = std::env::temp_dir().join(format!("journal-doctest-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("evaluation.journal");
/// let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.1)?, 5, 0.05).build()?;
/// let evaluation = RobustnessEvaluation::new(vec![Box::new(pgd)])?
///     .with_journal(&path, "sha256 of the weights", ExistingJournal::Resume);
/// let report = evaluation.evaluate(&victim, &samples, &mut Silent)?.report;
///
/// let journal = Journal::read(&path)?.expect("the evaluation has written it");
/// assert_eq!(journal.outcomes().len(), 1);
/// assert!(journal.image(0)?.is_some_and(|image| image[0] < image[1]));
/// println!("{report}");
/// Journal::remove(&path)?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
    tag: String,
    identity: Identity,
    outcomes: Vec<Outcome>,
    /// The offset at which the image of a sample begins, and its number of values.
    images: BTreeMap<usize, (u64, usize)>,
    length: u64,
    /// The size of the file, with an incomplete last record.
    size: u64,
}

impl Journal {
    /// Reads a journal, one record at a time. Returns `None` if the file does not exist or if not even its first record
    /// is complete. An incomplete last record is dropped.
    ///
    /// # Errors
    /// [`JournalError::Io`], [`JournalError::OtherFormat`] or [`JournalError::NotAJournal`]; [`JournalError::Damaged`]
    /// if a record other than the last one differs from what was written.
    pub fn read(path: impl AsRef<Path>) -> Result<Option<Self>, JournalError> {
        let path = path.as_ref();
        let failed = |source| JournalError::Io { path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let whole = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::with_capacity(1 << 16, file);
        let mut preamble = Vec::new();
        (&mut file).take(PREAMBLE as u64).read_to_end(&mut preamble).map_err(failed)?;
        let found = match preamble.strip_prefix(MAGIC) {
            Some(version) => version.first().copied(),
            None => (preamble.first() == Some(&b'{')).then_some(0),
        };
        if let Some(found) = found.filter(|found| *found != VERSION) {
            return Err(JournalError::OtherFormat { path: path.to_owned(), found, expected: VERSION });
        }
        if !preamble.iter().zip(MAGIC).all(|(byte, expected)| byte == expected) {
            return Err(JournalError::NotAJournal { path: path.to_owned() });
        }
        let mut journal: Option<Self> = None;
        let (mut offset, mut payload) = (PREAMBLE as u64, Vec::new());
        for number in 0.. {
            let damaged = || JournalError::Damaged { path: path.to_owned(), record: number, offset };
            match next(&mut file, whole.saturating_sub(offset), &mut payload).map_err(failed)? {
                Next::End => break,
                Next::Damaged => return Err(damaged()),
                Next::Record => {}
            }
            let end = offset + (HEADER + payload.len()) as u64;
            match &mut journal {
                None => {
                    let (tag, identity) = decode_beginning(&payload).ok_or_else(damaged)?;
                    let (outcomes, images) = (Vec::new(), BTreeMap::new());
                    let path = path.to_owned();
                    journal = Some(Self { path, tag, identity, outcomes, images, length: end, size: whole });
                }
                Some(journal) => {
                    let (outcome, values) = decode_outcome(&payload).ok_or_else(damaged)?;
                    if outcome.nearest {
                        journal.images.insert(outcome.sample, (end - 4 * values as u64, values));
                    }
                    journal.outcomes.push(outcome);
                    journal.length = end;
                }
            }
            offset = end;
        }
        Ok(journal)
    }

    /// Removes a journal. Call it when the evaluation has ended and the report is saved.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn remove(path: impl AsRef<Path>) -> Result<(), JournalError> {
        let path = path.as_ref();
        std::fs::remove_file(path).map_err(|source| JournalError::Io { path: path.to_owned(), source })
    }

    /// The tag that distinguishes the model from other models, as given to
    /// [`RobustnessEvaluation::with_journal`](crate::RobustnessEvaluation::with_journal).
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The outcomes, without images.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The number of values of the adversarial example of a sample.
    pub(crate) fn image_values(&self, sample: usize) -> Option<usize> {
        self.images.get(&sample).map(|(_, values)| *values)
    }

    /// Reads the adversarial example of a sample from the file. Returns `None` if there was none when the journal was
    /// read. If there are several, it is the nearest one (see [`Outcome::nearest`]).
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn image(&self, sample: usize) -> Result<Option<Vec<f32>>, JournalError> {
        let Some(&(offset, values)) = self.images.get(&sample) else { return Ok(None) };
        let read = || -> io::Result<Vec<f32>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = vec![0; 4 * values];
            if !filled(&mut file, &mut bytes)? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            Ok(decode_floats(&bytes))
        };
        read().map(Some).map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of bytes up to the end of the last complete record.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The number of bytes of the file when it was read.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::encoding::{OUTCOME, decode_beginning, decode_floats, decode_outcome};
use super::record::{HEADER, Next, filled, next};
use super::{JournalError, MAGIC};
use crate::evaluation::autoattack::EvaluationState;

/// A journal that was read: the state of an evaluation without its images, and where in the file these are.
///
/// ```
/// use twins_attack::{EvaluationState, Journal, JournalWriter, Outcome, Verification};
/// # let folder = std::env::temp_dir().join(format!("journal-doctest-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("evaluation.journal");
/// # let clean = vec![1.0, 0.0];
/// let state = EvaluationState { fingerprint: "9f".into(), clean, randomised: false, outcomes: vec![] };
/// let mut writer = JournalWriter::create(&path, "sha256 of the weights", &state)?;
/// let outcome = Outcome {
///     stage: 0,
///     sample: 0,
///     distance: Some(0.1),
///     adversarial: Some(vec![0.4, 0.6]),
///     forwards: 3,
///     backwards: 2,
///     verification: Verification::default(),
///     seconds: 0.5,
/// };
/// writer.append(&outcome)?;
/// let journal = Journal::read(&path)?.expect("it has been begun");
/// assert_eq!(journal.state().outcomes, [Outcome { adversarial: None, ..outcome }]);
/// assert_eq!(journal.image(0)?, Some(vec![0.4, 0.6]));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
    tag: String,
    state: EvaluationState,
    /// Where the image of a sample begins, and how many values it has.
    images: BTreeMap<usize, (u64, usize)>,
    length: u64,
}

impl Journal {
    /// Reads a journal, one record at a time; none if there is none, or none of which even the beginning was written. A last
    /// record that was torn is dropped.
    ///
    /// # Errors
    /// [`JournalError::Io`]; [`JournalError::OldFormat`], [`JournalError::NotAJournal`]; [`JournalError::Damaged`] if a record
    /// that is not the last one differs from what was written.
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
        let mut magic = Vec::new();
        (&mut file).take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
        if magic.first() == Some(&b'{') {
            return Err(JournalError::OldFormat { path: path.to_owned() });
        }
        if !MAGIC.starts_with(&magic) {
            return Err(JournalError::NotAJournal { path: path.to_owned() });
        }
        let mut journal: Option<Self> = None;
        let (mut offset, mut payload) = (MAGIC.len() as u64, Vec::new());
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
                    let (tag, state) = decode_beginning(&payload).ok_or_else(damaged)?;
                    let images = BTreeMap::new();
                    journal = Some(Self { path: path.to_owned(), tag, state, images, length: end });
                }
                Some(journal) => {
                    let (outcome, values) = decode_outcome(&payload).ok_or_else(damaged)?;
                    if values > 0 {
                        journal.images.insert(outcome.sample, (offset + (HEADER + OUTCOME) as u64, values));
                    }
                    journal.state.outcomes.push(outcome);
                    journal.length = end;
                }
            }
            offset = end;
        }
        Ok(journal)
    }

    /// What the program that wrote the journal gave to [`JournalWriter::create`](crate::JournalWriter::create).
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// What has been found, without images.
    pub fn state(&self) -> &EvaluationState {
        &self.state
    }

    /// The adversarial example of a sample, read from the file; none if there was none when the journal was read.
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

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes up to the end of the last record that is whole.
    pub(super) fn length(&self) -> u64 {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::verification::Verification;
    use crate::evaluation::autoattack::Outcome;
    use crate::evaluation::journal::JournalWriter;

    fn outcome(sample: usize) -> Outcome {
        let broken = sample.is_multiple_of(2);
        Outcome {
            stage: sample / 3,
            sample,
            distance: broken.then_some(0.1 + sample as f32),
            adversarial: broken.then(|| vec![sample as f32 / 7.0, -0.0, 1.0]),
            forwards: 100 + sample as u64,
            backwards: 50,
            verification: Verification {
                claimed: 3,
                outside_box: 1,
                not_misclassified: 1,
                ..Verification::default()
            },
            seconds: 0.1 * sample as f64,
        }
    }

    fn state() -> EvaluationState {
        let clean = vec![1.0 / 3.0, -2.5, 1e-30, 7.0];
        EvaluationState { fingerprint: "0123abcd".into(), clean, randomised: true, outcomes: Vec::new() }
    }

    /// A journal of six outcomes, and where each of its records ends.
    fn written(path: &Path) -> (Vec<u8>, Vec<usize>) {
        let mut writer = JournalWriter::create(path, "tag", &state()).unwrap();
        let length = || std::fs::metadata(path).unwrap().len() as usize;
        let mut ends = vec![length()];
        for sample in 0..6 {
            writer.append(&outcome(sample)).unwrap();
            ends.push(length());
        }
        (std::fs::read(path).unwrap(), ends)
    }

    /// Removed when it is dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("twins-journal-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn path(&self) -> PathBuf {
            self.0.join("journal")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn without_image(outcome: Outcome) -> Outcome {
        Outcome { adversarial: None, ..outcome }
    }

    #[test]
    fn what_is_written_is_read_to_the_bit() {
        let folder = Folder::new("bits");
        let (bytes, ends) = written(&folder.path());
        let journal = Journal::read(folder.path()).unwrap().unwrap();
        assert_eq!(journal.tag(), "tag");
        let outcomes = (0..6).map(|sample| without_image(outcome(sample))).collect();
        assert_eq!(*journal.state(), EvaluationState { outcomes, ..state() });
        for sample in 0..6 {
            let bits = |image: Option<Vec<f32>>| {
                image.map(|image| image.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            };
            assert_eq!(bits(journal.image(sample).unwrap()), bits(outcome(sample).adversarial));
        }
        // As documented.
        assert_eq!(ends[2] - ends[1], 100);
        assert_eq!(ends[1] - ends[0], 100 + 3 * 4);
        assert_eq!(bytes.len(), ends[6]);
        assert!(Journal::read(folder.0.join("missing")).unwrap().is_none());
    }

    #[test]
    fn wherever_it_is_torn_the_whole_records_are_read_and_continued() {
        let folder = Folder::new("torn");
        let (bytes, ends) = written(&folder.path());
        for length in 0..bytes.len() {
            std::fs::write(folder.path(), &bytes[..length]).unwrap();
            let whole = ends.iter().filter(|end| **end <= length).count();
            let Some(journal) = Journal::read(folder.path()).unwrap() else {
                assert_eq!(whole, 0, "{length}");
                continue;
            };
            assert_eq!(journal.state().outcomes.len() + 1, whole, "{length}");
            let mut writer = JournalWriter::resume(&journal).unwrap();
            (whole - 1..6).for_each(|sample| writer.append(&outcome(sample)).unwrap());
            assert_eq!(std::fs::read(folder.path()).unwrap(), bytes, "{length}");
        }
        // After a power failure the last record may be there with other bytes, or as zeros.
        let torn = [bytes[..ends[5] + 20].to_vec(), vec![7; ends[6] - ends[5] - 20]].concat();
        let zeros = [bytes[..ends[5]].to_vec(), vec![0; 5000]].concat();
        for torn in [torn, zeros] {
            std::fs::write(folder.path(), torn).unwrap();
            assert_eq!(Journal::read(folder.path()).unwrap().unwrap().state().outcomes.len(), 5);
        }
    }

    #[test]
    fn a_damaged_record_in_the_middle_is_refused() {
        let folder = Folder::new("damaged");
        let (bytes, ends) = written(&folder.path());
        for place in ends[1]..ends[4] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 4;
            std::fs::write(folder.path(), damaged).unwrap();
            let record = ends.iter().filter(|end| **end <= place).count();
            match Journal::read(folder.path()) {
                Err(JournalError::Damaged { record: found, offset, .. }) => {
                    assert_eq!((found, offset as usize), (record, ends[record - 1]), "{place}");
                }
                other => panic!("{place}: {other:?}"),
            }
        }
    }

    #[test]
    fn other_files_are_named() {
        let folder = Folder::new("other");
        std::fs::write(folder.path(), "{\"weights\":\"12\",\"state\":{}}\n").unwrap();
        let old = Journal::read(folder.path()).unwrap_err().to_string();
        assert!(old.contains("earlier version") && old.contains("JSON"), "{old}");
        std::fs::write(folder.path(), "something else").unwrap();
        assert!(matches!(Journal::read(folder.path()), Err(JournalError::NotAJournal { .. })));
    }
}

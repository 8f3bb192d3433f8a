use twins_testing::{Counting, check_message, each_damaged};

use super::super::record::record;
use super::super::write::JournalWriter;
use super::*;
use crate::engine::verification::Verification;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn outcome(sample: usize) -> Outcome {
    let broken = sample.is_multiple_of(2);
    Outcome {
        stage: sample / 3,
        sample,
        distances: if broken { vec![0.1 + sample as f32, 2.0] } else { Vec::new() },
        success: sample.is_multiple_of(4),
        nearest: broken,
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

fn identity() -> Identity {
    let clean = vec![1.0 / 3.0, -2.5, 1e-30, 7.0];
    Identity { fingerprint: "0123abcd".into(), clean, randomised: true }
}

/// A journal of six outcomes, and where each of its records ends.
fn written(path: &Path) -> (Vec<u8>, Vec<usize>) {
    let mut writer = JournalWriter::create(path, "tag", &identity()).unwrap();
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
    let outcomes: Vec<_> = (0..6).map(|sample| without_image(outcome(sample))).collect();
    assert_eq!((journal.identity(), journal.outcomes()), (&identity(), &outcomes[..]));
    for sample in 0..6 {
        let bits = |image: Option<Vec<f32>>| {
            image.map(|image| image.into_iter().map(f32::to_bits).collect::<Vec<_>>())
        };
        assert_eq!(bits(journal.image(sample).unwrap()), bits(outcome(sample).adversarial));
    }
    // As documented.
    assert_eq!(ends[2] - ends[1], 100);
    assert_eq!(ends[1] - ends[0], 100 + (2 + 3) * 4);
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
        assert_eq!(journal.outcomes().len() + 1, whole, "{length}");
        let mut writer = JournalWriter::resume(&journal).unwrap();
        (whole - 1..6).for_each(|sample| writer.append(&outcome(sample)).unwrap());
        assert_eq!(std::fs::read(folder.path()).unwrap(), bytes, "{length}");
    }
    // After a power failure the last record may be there with other bytes, or as zeros.
    let torn = [bytes[..ends[5] + 20].to_vec(), vec![7; ends[6] - ends[5] - 20]].concat();
    let zeros = [bytes[..ends[5]].to_vec(), vec![0; 5000]].concat();
    for torn in [torn, zeros] {
        std::fs::write(folder.path(), torn).unwrap();
        assert_eq!(Journal::read(folder.path()).unwrap().unwrap().outcomes().len(), 5);
    }
}

/// Another process may cut a file off while it is read.
#[test]
fn a_file_that_is_shorter_than_it_was_ends() {
    let bytes = record(&[7; 40]).unwrap();
    let rest = bytes.len() as u64;
    for length in 0..bytes.len() {
        assert_eq!(next(&mut &bytes[..length], rest, &mut Vec::new()).unwrap(), Next::End, "{length}");
    }
    assert_eq!(next(&mut &bytes[..], rest, &mut Vec::new()).unwrap(), Next::Record);
}

#[test]
fn a_journal_has_one_writer() {
    let folder = Folder::new("writers");
    let path = folder.path();
    let mut writer = JournalWriter::create(&path, "tag", &identity()).unwrap();
    writer.append(&outcome(0)).unwrap();
    let journal = Journal::read(&path).unwrap().unwrap();
    for second in [JournalWriter::create(&path, "other", &identity()), JournalWriter::resume(&journal)] {
        let error = second.map(drop).unwrap_err();
        assert!(matches!(error, JournalError::InUse { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    // Neither has changed it.
    writer.append(&outcome(1)).unwrap();
    drop(writer);
    let journal = Journal::read(&path).unwrap().unwrap();
    assert_eq!((journal.tag(), journal.outcomes().len()), ("tag", 2));
    JournalWriter::resume(&journal).unwrap().append(&outcome(2)).unwrap();
    // What was read before that does not have its last outcome, which must not be lost.
    let error = JournalWriter::resume(&journal).unwrap_err();
    assert!(matches!(error, JournalError::InUse { .. }), "{error}");
    assert_eq!(Journal::read(&path).unwrap().unwrap().outcomes().len(), 3);
    // A new journal may be shorter than the one that it replaces.
    drop(JournalWriter::create(&path, "new", &identity()).unwrap());
    let journal = Journal::read(&path).unwrap().unwrap();
    assert_eq!((journal.tag(), journal.outcomes().len()), ("new", 0));
}

#[test]
fn a_journal_does_not_replace_another_file() {
    let folder = Folder::new("others");
    let path = folder.path();
    std::fs::write(&path, "2024-01-01 bread").unwrap();
    let error = JournalWriter::create(&path, "tag", &identity()).unwrap_err();
    assert!(matches!(error, JournalError::NotAJournal { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "2024-01-01 bread");
    // Nothing, the beginning of a journal, and one of the first versions.
    for text in ["", "TWI", "{\"tag\": \"old\", \"outcomes\": []}"] {
        std::fs::write(&path, text).unwrap();
        drop(JournalWriter::create(&path, "tag", &identity()).unwrap());
        assert_eq!(Journal::read(&path).unwrap().unwrap().tag(), "tag");
    }
}

/// Every bit of the file, flipped alone: the journal is refused, or what is read was written.
#[test]
fn a_flipped_bit_changes_no_verdict() {
    let folder = Folder::new("flipped");
    let (bytes, ends) = written(&folder.path());
    let expected: Vec<_> = (0..6).map(|sample| without_image(outcome(sample))).collect();
    let (mut refused, mut dropped) = (0, 0);
    for bit in 0..8 * bytes.len() {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(folder.path(), damaged).unwrap();
        match Journal::read(folder.path()) {
            Err(error) => {
                assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
                refused += 1;
            }
            Ok(journal) => {
                // The last record cannot be told from an incomplete one, so its sample is attacked again.
                let journal = journal.unwrap();
                assert!(bit / 8 >= ends[5], "bit {bit} was not noticed");
                assert_eq!((journal.identity(), journal.outcomes()), (&identity(), &expected[..5]), "{bit}");
                dropped += 1;
            }
        }
    }
    assert_eq!(refused + dropped, 8 * bytes.len());
    assert!(dropped > 0 && refused > dropped, "{refused} refused, {dropped} dropped");
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
    assert!(old.contains("format 0") && old.contains("format 2"), "{old}");
    std::fs::write(folder.path(), b"TWINSEJ\x01...").unwrap();
    let first = Journal::read(folder.path()).unwrap_err().to_string();
    assert!(first.contains("format 1") && first.contains("another version"), "{first}");
    // A text, and the length of a safetensors header, whose last byte is 0.
    for other in [&b"something else"[..], b"\x40\x01\0\0\0\0\0\0{\"__metadata__\":{}}"] {
        std::fs::write(folder.path(), other).unwrap();
        assert!(matches!(Journal::read(folder.path()), Err(JournalError::NotAJournal { .. })));
    }
}

/// Reads a journal and all images that it names.
fn read_all(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    match Journal::read(path) {
        Ok(None) => {}
        Ok(Some(journal)) => {
            let samples: Vec<usize> = journal.outcomes().iter().map(|outcome| outcome.sample).collect();
            for sample in samples {
                let image = journal.image(sample).unwrap();
                assert_eq!(image.map(|image| image.len()), journal.image_values(sample));
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("journal"), "{message}");
            check_message(&message);
        }
    }
}

#[test]
fn damaged_journals_are_refused_or_read() {
    let folder = Folder::new("mutated");
    let (bytes, _) = written(&folder.path());
    each_damaged(&[("journal", bytes)], 2000, |_, bytes| read_all(&folder.path(), bytes));
}

#[test]
fn records_whose_checksum_fits_other_content_are_refused_or_read() {
    let folder = Folder::new("forged");
    let (bytes, ends) = written(&folder.path());
    let starts = std::iter::once(PREAMBLE).chain(ends.iter().copied());
    let payloads: Vec<(&str, Vec<u8>)> =
        starts.zip(&ends).map(|(start, end)| ("record", bytes[start + HEADER..*end].to_vec())).collect();
    let (mut whole, mut read) = (0, 0);
    each_damaged(&payloads, 4000, |_, payload| {
        // As the first record, and as the second.
        let forged = record(payload).unwrap();
        for before in [PREAMBLE, ends[0]] {
            let forged = [&bytes[..before], &forged[..], &bytes[ends[5]..]].concat();
            read_all(&folder.path(), &forged);
            whole += usize::from(Journal::read(folder.path()).is_ok_and(|journal| journal.is_some()));
            read += 1;
        }
    });
    // Numbers may have any value, so that some of them can be read.
    assert!(whole > 0 && whole < read, "{whole} of {read}");
}

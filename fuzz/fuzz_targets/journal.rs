//! The journal of an evaluation. The first byte chooses: made-up bytes; changes to a journal that was written; and changes to its records,
//! with the checksums of what they then hold. From the last, an evaluation is also resumed.

#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use burn::tensor::{Device, Tensor};
use burn_twins_fuzz::{choice, edited, path, refused, within, write};
use libfuzzer_sys::fuzz_target;
use twins_attack::{
    AttackError, ExistingJournal, Journal, JournalError, Norm, PgdConfig, Report, RobustnessEvaluation,
    Samples, Silent, ThreatModel,
};
use twins_testing::check_message;

/// What is in front of the records, and in front of the payload of each.
const PREAMBLE: usize = 8;
const HEADER: usize = 16;

/// A journal of three samples, two of which are broken.
static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let file = path("whole.journal");
    evaluate(&file, ExistingJournal::Replace).unwrap();
    fs::read(file).unwrap()
});

/// The payloads of its records.
static PAYLOADS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (mut rest, mut payloads) = (&WHOLE[PREAMBLE..], Vec::new());
    while let Some((length, _)) = rest.split_first_chunk() {
        let end = HEADER + u32::from_le_bytes(*length) as usize;
        payloads.push(rest[HEADER..end].to_vec());
        rest = &rest[end..];
    }
    payloads
});

fn evaluate(file: &Path, existing: ExistingJournal) -> Result<Report, AttackError> {
    let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
    let images = [[[[0.6, 0.5]]], [[[0.9, 0.1]]], [[[0.55, 0.5]]]];
    let samples = Samples::new(Tensor::from_floats(images, &Device::flex()), vec![0; 3])?;
    let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.1)?, 5, 0.05).build()?;
    let evaluation = RobustnessEvaluation::new(vec![Box::new(pgd)])?.with_journal(file, "a tag", existing);
    Ok(evaluation.evaluate(&victim, &samples, &mut Silent)?.report)
}

/// A record with the checksums of its payload, as the library writes it.
fn record(payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let check = length.wrapping_mul(0x9e37_79b1) ^ 0x5457_494e;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut word = |word: u64| hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    let (words, rest) = payload.as_chunks::<8>();
    words.iter().for_each(|bytes| word(u64::from_le_bytes(*bytes)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    word(u64::from_le_bytes(last));
    word(payload.len() as u64);
    [&length.to_le_bytes()[..], &check.to_le_bytes(), &hash.to_le_bytes(), payload].concat()
}

/// The whole journal with changed records. Five bytes say which record, and how it is changed. Large ones repeat the record at the end.
fn rewritten(edits: &[u8]) -> Vec<u8> {
    let mut payloads = PAYLOADS.clone();
    for edit in edits.chunks_exact(5) {
        let place = usize::from(edit[0]) % payloads.len();
        let payload = payloads[place].clone();
        if edit[0] < 0x80 {
            payloads[place] = edited(&payload, &edit[1..]);
        } else {
            payloads.push(payload);
        }
    }
    let records = payloads.iter().flat_map(|payload| record(payload));
    WHOLE[..PREAMBLE].iter().copied().chain(records).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let (which, rest) = choice(bytes);
    let content = match which % 3 {
        0 => rest.to_vec(),
        1 => edited(&WHOLE, rest),
        _ => rewritten(rest),
    };
    assert!(rewritten(&[]) == *WHOLE, "the library has other checksums");
    let file = write("evaluation.journal", &content);
    let read = within(content.len(), || {
        let Some(journal) = Journal::read(&file)? else { return Ok(()) };
        for outcome in journal.outcomes() {
            journal.image(outcome.sample)?;
        }
        Ok::<_, JournalError>(())
    });
    if let Err(error) = read {
        refused(&error);
    }
    if which % 3 == 2 {
        match within(content.len(), || evaluate(&file, ExistingJournal::Resume)) {
            Ok(report) => check_message(&report.to_string()),
            Err(error) => refused(&error),
        }
    }
});

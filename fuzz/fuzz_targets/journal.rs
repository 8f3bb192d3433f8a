//! The journal of an evaluation: made-up bytes, and changes to one that was written.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use burn::tensor::{Device, Tensor};
use burn_twins_fuzz::{choice, edited, path, refused, within, write};
use libfuzzer_sys::fuzz_target;
use twins_attack::{
    ExistingJournal, Journal, JournalError, Norm, PgdConfig, RobustnessEvaluation, Samples, Silent,
    ThreatModel,
};

/// A journal of three samples, two of which are broken.
static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
    let images = [[[[0.6, 0.5]]], [[[0.9, 0.1]]], [[[0.55, 0.5]]]];
    let samples = Samples::new(Tensor::from_floats(images, &Device::flex()), vec![0; 3]).unwrap();
    let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.1).unwrap(), 5, 0.05).build().unwrap();
    let file = path("whole.journal");
    RobustnessEvaluation::new(vec![Box::new(pgd)])
        .unwrap()
        .with_journal(&file, "a tag", ExistingJournal::Replace)
        .evaluate(&victim, &samples, &mut Silent)
        .unwrap();
    fs::read(file).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let (which, rest) = choice(bytes);
    let content = if which % 2 == 0 { rest.to_vec() } else { edited(&WHOLE, rest) };
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
});

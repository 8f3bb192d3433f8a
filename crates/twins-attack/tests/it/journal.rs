//! Journals of something else, or damaged, are refused and left alone.

use burn::tensor::Tensor;
use twins_attack::{
    AttackError, Classifier, Coverage, ExistingJournal, Journal, JournalError, Norm, RobustnessEvaluation,
    Samples, Silent,
};
use twins_attack_testing::{Folder, Golden, Killer, autoattack, evaluate, host, resumable, timeless};

fn refused(
    evaluation: RobustnessEvaluation,
    victim: &(dyn Classifier + Sync),
    samples: &Samples,
    folder: &Folder,
) -> AttackError {
    let before = std::fs::read(folder.journal()).unwrap();
    let refused = evaluation.evaluate(victim, samples, &mut Silent).map(|_| ()).unwrap_err();
    assert_eq!(std::fs::read(folder.journal()).unwrap(), before, "{refused}");
    refused
}

#[test]
fn a_journal_of_something_else_is_refused() {
    let golden = Golden::read();
    let net = golden.net();
    let victim = |x: Tensor<4>| net.forward(x);
    let (samples, folder) = (golden.samples(), Folder::new());
    let same = || resumable(autoattack(Norm::Linf), &folder);
    let stopped = same().evaluate(&victim, &samples, &mut Killer::after_outcomes(3));
    assert!(matches!(stopped, Err(AttackError::Stopped)));

    let other_settings = [
        resumable(autoattack(Norm::L2), &folder),
        same().with_coverage(Coverage::EveryAttack),
        same().with_fresh_draws(3).unwrap(),
    ];
    for other in other_settings {
        let other = refused(other, &victim, &samples, &folder);
        assert!(matches!(other, AttackError::OtherEvaluation { .. }), "{other}");
    }
    let renumbered = golden.samples().with_ids((1..9).collect()).unwrap();
    let other = refused(same(), &victim, &renumbered, &folder);
    assert!(matches!(other, AttackError::OtherEvaluation { .. }), "{other}");
    let brighter = Samples::new(golden.tensor::<4>("images") * 0.999, golden.indices("label")).unwrap();
    let other = refused(same(), &victim, &brighter, &folder);
    assert!(matches!(other, AttackError::OtherEvaluation { .. }), "{other}");
    let targets = golden.indices("label").iter().map(|label| (label + 1) % 6).collect();
    let aimed = golden.samples().with_targets(targets).unwrap();
    let other = refused(same(), &victim, &aimed, &folder);
    assert!(matches!(other, AttackError::OtherEvaluation { .. }), "{other}");
    let started = golden.samples().with_starts(golden.tensor::<4>("images")).unwrap();
    let other = refused(same(), &victim, &started, &folder);
    assert!(matches!(other, AttackError::OtherEvaluation { .. }), "{other}");
    let scaled = |x: Tensor<4>| net.forward(x) * 1.01;
    let other = refused(same(), &scaled, &samples, &folder);
    assert!(matches!(other, AttackError::OtherModel { .. }), "{other}");
    // Other logits for the brightest image alone, which is named.
    let images = golden.tensor::<4>("images");
    let brightness: Vec<f32> = host(images.mean_dims(&[1, 2, 3]));
    let brightest = (0..brightness.len()).max_by(|&a, &b| brightness[a].total_cmp(&brightness[b])).unwrap();
    assert!(brightest > 0);
    let others = brightness.iter().filter(|mean| **mean < brightness[brightest]).copied();
    let threshold = (brightness[brightest] + others.fold(0.0, f32::max)) / 2.0;
    let other_once = |x: Tensor<4>| {
        let bright = x.clone().mean_dims(&[1, 2, 3]).greater_elem(threshold).float();
        net.forward(x) * (bright.flatten::<2>(1, 3) * 0.01 + 1.0)
    };
    let other = refused(same(), &other_once, &samples, &folder);
    let found = matches!(other, AttackError::OtherModel { sample, .. } if sample == brightest as u64);
    assert!(found, "{other}, expected {brightest}");

    let tagged = same().with_journal(folder.journal(), "another net", ExistingJournal::Resume);
    let other = refused(tagged, &victim, &samples, &folder);
    assert!(matches!(other, AttackError::Journal(JournalError::OtherTag { .. })), "{other}");
    let text = other.to_string();
    assert!(text.contains("begun with the net, and this one has another net"), "{text}");

    // None of this has changed it. To replace it, one has to say so.
    same().evaluate(&victim, &samples, &mut Silent).unwrap();
    let replaced = same().with_journal(folder.journal(), "another net", ExistingJournal::Replace);
    replaced.evaluate(&victim, &samples, &mut Silent).unwrap();
    assert_eq!(Journal::read(folder.journal()).unwrap().unwrap().tag(), "another net");
    Journal::remove(folder.journal()).unwrap();
    assert!(Journal::read(folder.journal()).unwrap().is_none());
    let error = Journal::remove(folder.journal()).unwrap_err().to_string();
    assert!(error.contains("evaluation.journal"), "{error}");
}

#[test]
fn an_outcome_that_is_there_twice_is_refused() {
    let golden = Golden::read();
    let net = golden.net();
    let victim = |x: Tensor<4>| net.forward(x);
    let (samples, folder) = (golden.samples(), Folder::new());
    let evaluation = || resumable(autoattack(Norm::Linf), &folder);
    let stopped = evaluation().evaluate(&victim, &samples, &mut Killer::after_outcomes(3));
    assert!(matches!(stopped, Err(AttackError::Stopped)));
    // The file has 8 bytes, and then records of 16 bytes, the first four of which are the length of what follows.
    let mut bytes = std::fs::read(folder.journal()).unwrap();
    let (mut at, mut last) = (8, 0..0);
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        last = at..at + 16 + length;
        at = last.end;
    }
    bytes.extend_from_within(last);
    std::fs::write(folder.journal(), &bytes).unwrap();
    let error = refused(evaluation(), &victim, &samples, &folder);
    assert!(matches!(error, AttackError::DamagedJournal { .. }), "{error}");
}

#[test]
fn a_damaged_journal_is_refused() {
    let golden = Golden::read();
    let net = golden.net();
    let victim = |x: Tensor<4>| net.forward(x);
    let (samples, folder) = (golden.samples(), Folder::new());
    let evaluation = || resumable(autoattack(Norm::Linf), &folder);
    let stopped = evaluation().evaluate(&victim, &samples, &mut Killer::after_outcomes(5));
    assert!(matches!(stopped, Err(AttackError::Stopped)));
    let mut damaged = std::fs::read(folder.journal()).unwrap();
    // In the first record.
    damaged[30] ^= 1;
    std::fs::write(folder.journal(), &damaged).unwrap();
    let error = refused(evaluation(), &victim, &samples, &folder);
    assert!(matches!(error, AttackError::Journal(JournalError::Damaged { .. })), "{error}");
    for (bytes, expected) in [(&b"TWINSEJ\x01...."[..], "format 1"), (b"something else", "no journal")] {
        std::fs::write(folder.journal(), bytes).unwrap();
        let error = refused(evaluation(), &victim, &samples, &folder).to_string();
        assert!(error.contains(expected), "{error}");
    }
    // A folder in place of the file cannot be written.
    std::fs::remove_file(folder.journal()).unwrap();
    std::fs::create_dir(folder.journal()).unwrap();
    let replace = evaluation().with_journal(folder.journal(), "the net", ExistingJournal::Replace);
    let error = replace.evaluate(&victim, &samples, &mut Silent).map(|_| ()).unwrap_err();
    assert!(matches!(error, AttackError::Journal(JournalError::Io { .. })), "{error}");
}

#[test]
fn a_truncated_or_altered_journal_gives_no_other_verdict() {
    let golden = Golden::read();
    let net = golden.net();
    let victim = |x: Tensor<4>| net.forward(x);
    let (samples, folder) = (golden.samples(), Folder::new());
    let expected = timeless(&evaluate(&golden, &samples, Norm::Linf));
    let evaluation = || resumable(autoattack(Norm::Linf), &folder);
    let stopped = evaluation().evaluate(&victim, &samples, &mut Killer::after_outcomes(7));
    assert!(matches!(stopped, Err(AttackError::Stopped)));
    let bytes = std::fs::read(folder.journal()).unwrap();
    let resumed = |bytes: &[u8]| {
        std::fs::write(folder.journal(), bytes).unwrap();
        evaluation().evaluate(&victim, &samples, &mut Silent)
    };
    for tenth in 0..10 {
        let found = resumed(&bytes[..bytes.len() * tenth / 10]).unwrap();
        assert_eq!(timeless(&found), expected, "{tenth} tenths");
    }
    let mut refused = 0;
    for place in (0..bytes.len()).step_by(bytes.len() / 20) {
        let mut altered = bytes.clone();
        altered[place] ^= 1 << (place % 8);
        match resumed(&altered) {
            // The last record, whose sample is attacked again.
            Ok(found) => assert_eq!(timeless(&found), expected, "byte {place}"),
            Err(error) => {
                assert!(matches!(error, AttackError::Journal(_)), "byte {place}: {error}");
                assert!(error.to_string().contains("evaluation.journal"), "byte {place}: {error}");
                assert_eq!(std::fs::read(folder.journal()).unwrap(), altered, "byte {place}");
                refused += 1;
            }
        }
    }
    // The last of seven records takes less than half of the file.
    assert!(refused >= 10, "{refused} of 20 were refused");
}

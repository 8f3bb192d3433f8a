//! Checks of readers that are given damaged files.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use crate::counting::peak;
use crate::mutations::Mutations;

/// What a reader may take for a file: microseconds to milliseconds on an idle machine, but tests run side by side.
const LONGEST: Duration = Duration::from_secs(5);

/// The memory that a reader may take for so many bytes of files: four times as many, and 64 MiB.
pub fn allowance(bytes: usize) -> usize {
    4 * bytes + (64 << 20)
}

/// Gives a reader `count` damaged forms of whole files in turn, and checks that it does not panic, takes no long time, and allocates no more
/// than the [`allowance`] of a file. The binary needs the allocator [`Counting`](crate::Counting). The variable `TWINS_MUTATIONS` replaces
/// `count`.
///
/// `read` is given the name of a file and its damaged content, and checks what the reader returns.
///
/// # Panics
///
/// If the reader does, with the number of the case, or if it breaks a limit.
pub fn each_damaged(files: &[(&str, Vec<u8>)], count: u64, mut read: impl FnMut(&str, &[u8])) {
    for case in 0..cases(count) {
        let &(name, ref whole) = &files[case as usize % files.len()];
        let mut bytes = whole.clone();
        Mutations::new(case).apply(&mut bytes);
        let begin = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| peak(|| read(name, &bytes))));
        let duration = begin.elapsed();
        let allocated = match outcome {
            Ok(((), allocated)) => allocated,
            Err(panic) => {
                eprintln!("case {case}, damaged from {name}: {:?}", String::from_utf8_lossy(&bytes));
                resume_unwind(panic);
            }
        };
        let length = bytes.len();
        assert!(allocated <= allowance(length), "case {case} ({name}): {allocated} bytes for {length}");
        assert!(duration < LONGEST, "case {case} ({name}): {duration:?}");
    }
}

/// The number of damaged files to try: that of the variable `TWINS_MUTATIONS`, or `usual`.
///
/// # Panics
///
/// If the variable is no number.
pub fn cases(usual: u64) -> u64 {
    let given = std::env::var("TWINS_MUTATIONS").ok();
    given.map_or(usual, |text| text.parse().expect("TWINS_MUTATIONS is a number of cases"))
}

/// Checks that the message of an error says something, and contains no character that acts on a terminal. Messages with a list have line
/// breaks.
///
/// # Panics
///
/// If it does not.
pub fn check_message(message: &str) {
    let acts = |character: char| match character {
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => character.is_control() && character != '\n',
    };
    assert!(!message.trim().is_empty() && !message.contains(acts), "{message:?}");
}

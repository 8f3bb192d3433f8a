//! Tests of whole studies, without training anything.

mod checks;
mod controls;
mod hostile;
mod trainings;

use twins_report::ScoreKind;
use twins_train::Accuracy;

use super::{RunResult, RunScore};

/// The result of a run with 90 of 100 images correct when clean, and so many on PGD's last iterate.
pub(in crate::study) fn run(seed: u64, correct: usize) -> RunResult {
    let score = |metric, correct| RunScore { metric, accuracy: Accuracy { correct, total: 100 } };
    let scores = vec![score(ScoreKind::Clean, 90), score(ScoreKind::LastIterate, correct)];
    RunResult { seed, best: None, scores, last_scores: Vec::new(), diverged: None, epochs: Vec::new() }
}

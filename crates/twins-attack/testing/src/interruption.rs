use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use twins_attack::{ExistingJournal, Observer, Outcome, Progress, RobustnessEvaluation};

/// A folder that is removed when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// A new folder among the temporary files.
    #[allow(clippy::new_without_default, reason = "it touches the disk")]
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("twins-attack-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Where a journal is kept.
    pub fn journal(&self) -> PathBuf {
        self.0.join("evaluation.journal")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Adds a journal in the folder to the evaluation. If the journal exists, it is resumed.
pub fn resumable(evaluation: RobustnessEvaluation, folder: &Folder) -> RobustnessEvaluation {
    evaluation.with_journal(folder.journal(), "the net", ExistingJournal::Resume)
}

/// Interrupts an evaluation after a number of outcomes or batches.
pub struct Killer {
    /// Outcomes until the interruption.
    pub outcomes_left: usize,
    /// Batches until the interruption.
    pub batches_left: usize,
    /// The fraction that the last progress reported.
    pub last_fraction: f64,
}

impl Killer {
    /// Interrupts after this many outcomes.
    pub fn after_outcomes(outcomes_left: usize) -> Self {
        Self { outcomes_left, batches_left: usize::MAX, last_fraction: 0.0 }
    }

    /// Interrupts after this many batches.
    pub fn after_batches(batches_left: usize) -> Self {
        Self { outcomes_left: usize::MAX, batches_left, last_fraction: 0.0 }
    }
}

impl Observer for Killer {
    fn outcome(&mut self, _outcome: &Outcome) -> ControlFlow<()> {
        self.outcomes_left -= 1;
        if self.outcomes_left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        assert!((0.0..=1.0).contains(&progress.fraction) && progress.surviving.0 <= progress.surviving.1);
        assert!(progress.finished.0 <= progress.finished.1, "{progress:?}");
        self.last_fraction = progress.fraction;
        self.batches_left -= 1;
        if self.batches_left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

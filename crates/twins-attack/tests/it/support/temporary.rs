//! Files and observers for evaluations that are interrupted.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use twins_attack::{ExistingJournal, Observer, Outcome, Progress, RobustnessEvaluation};

/// A folder that is removed when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
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

/// With a journal in the folder, which is resumed if it is there.
pub fn resumable(evaluation: RobustnessEvaluation, folder: &Folder) -> RobustnessEvaluation {
    evaluation.with_journal(folder.journal(), "the net", ExistingJournal::Resume)
}

/// Breaks off after so many outcomes or batches.
pub struct Killer {
    pub outcomes_left: usize,
    pub batches_left: usize,
    pub last_share: f64,
}

impl Killer {
    pub fn after_outcomes(outcomes_left: usize) -> Self {
        Self { outcomes_left, batches_left: usize::MAX, last_share: 0.0 }
    }

    pub fn after_batches(batches_left: usize) -> Self {
        Self { outcomes_left: usize::MAX, batches_left, last_share: 0.0 }
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
        self.last_share = progress.fraction;
        self.batches_left -= 1;
        if self.batches_left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

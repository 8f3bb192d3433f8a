use serde::{Deserialize, Serialize};
use twins_train::Ended;

/// Whether a run is in progress, or why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// The run is in progress, or its process was killed.
    Running,
    /// All epochs were completed.
    Completed,
    /// The validation robust accuracy had stopped rising.
    StoppedEarly,
    /// The run was stopped on request, and its state was saved.
    Interrupted,
}

impl RunStatus {
    /// Whether training has finished, so that there is nothing to resume.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::StoppedEarly)
    }

    /// The status in words, after `finished` of `planned` epochs.
    pub(crate) fn describe(self, finished: usize, planned: usize) -> String {
        let place = match finished {
            0 => format!("before the end of epoch 1 of {planned}"),
            _ => format!("after epoch {finished} of {planned}"),
        };
        match self {
            RunStatus::Running => format!("running or killed, {place}"),
            RunStatus::Completed if finished == 1 => "completed: 1 epoch".to_owned(),
            RunStatus::Completed => format!("completed: {finished} epochs"),
            RunStatus::StoppedEarly => format!("stopped early {place}"),
            RunStatus::Interrupted => format!("interrupted {place}"),
        }
    }
}

impl From<Ended> for RunStatus {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Completed => RunStatus::Completed,
            Ended::StoppedEarly => RunStatus::StoppedEarly,
            Ended::Interrupted => RunStatus::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_how_far_a_run_came() {
        assert_eq!(RunStatus::Interrupted.describe(3, 10), "interrupted after epoch 3 of 10");
        assert_eq!(RunStatus::Interrupted.describe(0, 10), "interrupted before the end of epoch 1 of 10");
        assert_eq!(RunStatus::StoppedEarly.describe(7, 10), "stopped early after epoch 7 of 10");
        assert_eq!(RunStatus::Completed.describe(10, 10), "completed: 10 epochs");
        assert_eq!(RunStatus::Running.describe(3, 10), "running or killed, after epoch 3 of 10");
    }
}

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::metrics::{Accuracy, EpochSums};

/// The version of the training loop. Version 1 divides an epoch evenly into batches, selects the held-out images with a separate
/// seed and stores the best weights in the checkpoint. Earlier states have no version.
const VERSION: u32 = 1;

/// The position of a training run: everything besides the weights and the optimiser's state that is needed to resume
/// it. The order of the data and all random draws follow from the configured seed and this position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The version of the training loop that wrote the state. A run that another version started cannot be resumed
    /// exactly.
    #[serde(default)]
    version: u32,
    /// The current epoch, from 0.
    pub(crate) epoch: usize,
    /// Completed steps of the current epoch, including skipped batches.
    pub(crate) step: usize,
    /// Completed steps of all epochs.
    pub(crate) steps: usize,
    /// The number of plateaus of the robust accuracy so far.
    pub(crate) plateaus: usize,
    /// Epochs since the robust accuracy last rose or the last plateau.
    pub(crate) since_plateau: usize,
    /// Epochs since the robust accuracy last rose.
    pub(crate) since_rise: usize,
    /// Whether the epoch being evaluated has a higher robust accuracy than all earlier epochs.
    #[serde(skip)]
    pub(crate) rose: bool,
    /// The best epoch so far.
    pub(crate) best: Option<Best>,
    /// The sums over the current epoch.
    pub(crate) sums: ExactSums,
    /// A key computed from the labels and the split. It prevents a run from being resumed on other data.
    pub(crate) data_key: u64,
}

/// The best epoch of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Best {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Which weights reached the accuracy.
    pub source: BestSource,
    /// Clean accuracy on the validation split.
    pub clean: Accuracy,
    /// Robust accuracy on the validation split.
    pub robust: Accuracy,
}

/// Which weights the best checkpoint contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BestSource {
    /// The trained weights.
    Raw,
    /// The exponential moving average of the trained weights.
    Ema,
}

/// [`EpochSums`] with floats stored as bit patterns, because JSON has neither NaN nor infinity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExactSums {
    counts: [usize; 4],
    sums: [u64; 5],
    frozen: Option<u64>,
    gradient_norms: BTreeMap<String, u64>,
    #[serde(default)]
    objective_accuracies: BTreeMap<String, Accuracy>,
    #[serde(default)]
    measuring: u64,
}

impl From<&EpochSums> for ExactSums {
    fn from(sums: &EpochSums) -> Self {
        Self {
            counts: [sums.samples, sums.correct, sums.steps, sums.skipped],
            sums: [sums.loss, sums.adaptive, sums.gradient_norm, sums.seconds, sums.waiting]
                .map(f64::to_bits),
            frozen: sums.frozen.map(f64::to_bits),
            gradient_norms: sums
                .gradient_norms
                .iter()
                .map(|(path, norm)| (path.clone(), norm.to_bits()))
                .collect(),
            objective_accuracies: sums.objective_accuracies.clone(),
            measuring: sums.measuring.to_bits(),
        }
    }
}

impl From<&ExactSums> for EpochSums {
    fn from(exact: &ExactSums) -> Self {
        let [samples, correct, steps, skipped] = exact.counts;
        let [loss, adaptive, gradient_norm, seconds, waiting] = exact.sums.map(f64::from_bits);
        Self {
            samples,
            correct,
            steps,
            skipped,
            loss,
            adaptive,
            gradient_norm,
            seconds,
            waiting,
            frozen: exact.frozen.map(f64::from_bits),
            relative_updates: BTreeMap::new(),
            gradient_norms: exact
                .gradient_norms
                .iter()
                .map(|(path, bits)| (path.clone(), f64::from_bits(*bits)))
                .collect(),
            objective_accuracies: exact.objective_accuracies.clone(),
            measuring: f64::from_bits(exact.measuring),
        }
    }
}

impl State {
    /// The state before the first step, on data with the given key.
    pub(crate) fn new(data_key: u64) -> Self {
        Self {
            version: VERSION,
            epoch: 0,
            step: 0,
            steps: 0,
            plateaus: 0,
            since_plateau: 0,
            since_rise: 0,
            rose: false,
            best: None,
            sums: ExactSums::default(),
            data_key,
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a state is plain data")
    }

    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let state: Self =
            serde_json::from_str(text).map_err(|error| format!("its state cannot be read: {error}"))?;
        if state.version == VERSION {
            Ok(state)
        } else {
            Err("an earlier version of this program wrote it, which divided an epoch into other batches and drew other validation images; finish the run with \
                 that version, or begin it anew"
                .to_owned())
        }
    }

    /// Resets the counters of plateaus and of early stopping to their values at the beginning of a training run.
    pub(crate) fn reset_counts(&mut self) {
        (self.plateaus, self.since_plateau, self.since_rise) = (0, 0, 0);
    }

    /// Compares the accuracies of a finished epoch with the best so far. Returns true if they are better.
    ///
    /// Ties in robust accuracy are broken by clean accuracy, then by the earlier epoch.
    pub(crate) fn judge(&mut self, candidate: Best) -> bool {
        self.rose |= self.best.is_none_or(|best| candidate.robust.correct > best.robust.correct);
        let better = self.best.is_none_or(|best| {
            (candidate.robust.correct, candidate.clean.correct) > (best.robust.correct, best.clean.correct)
        });
        if better {
            self.best = Some(candidate);
        }
        better
    }

    /// Updates the counters of plateaus and of early stopping after an epoch has been evaluated. An epoch that is the
    /// best only because of its clean accuracy does not count as a rise.
    pub(crate) fn count_epoch(&mut self, patience: Option<usize>) {
        let rose = std::mem::take(&mut self.rose);
        self.since_rise = if rose { 0 } else { self.since_rise + 1 };
        self.since_plateau = if rose { 0 } else { self.since_plateau + 1 };
        if patience.is_some_and(|patience| self.since_plateau >= patience) {
            self.plateaus += 1;
            self.since_plateau = 0;
        }
    }

    pub(crate) fn check_data(&self, key: u64) -> Result<(), TrainError> {
        match self.data_key == key {
            true => Ok(()),
            false => Err(TrainError::OtherData),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(epoch: usize, robust: usize, clean: usize) -> Best {
        let accuracy = |correct| Accuracy { correct, total: 10 };
        Best { epoch, source: BestSource::Raw, clean: accuracy(clean), robust: accuracy(robust) }
    }

    #[test]
    fn sums_survive_json_exactly() {
        let sums = EpochSums {
            loss: 0.1 + 0.2,
            frozen: Some(1.0 / 3.0),
            objective_accuracies: BTreeMap::from([("a".into(), Accuracy { correct: 1, total: 3 })]),
            measuring: 0.1,
            gradient_norms: BTreeMap::from([("a".into(), f64::MIN_POSITIVE)]),
            ..EpochSums::default()
        };
        let state = State { sums: (&sums).into(), ..State::new(0) };
        let read = State::from_json(&state.to_json()).unwrap();
        assert_eq!(EpochSums::from(&read.sums), sums);
    }

    #[test]
    fn a_state_of_an_earlier_version_is_refused() {
        let old = State::new(0).to_json().replace("\"version\":1,", "");
        let message = State::from_json(&old).unwrap_err();
        assert!(message.contains("an earlier version"), "{message}");
    }

    #[test]
    fn best_is_by_robust_then_clean_then_earlier() {
        let mut state = State::new(0);
        assert!(state.judge(best(1, 5, 8)));
        assert!(!state.judge(best(2, 4, 10)));
        assert!(!state.judge(best(3, 5, 8)));
        assert!(state.judge(best(4, 5, 9)));
        assert_eq!(state.best.unwrap().epoch, 4);
    }

    #[test]
    fn plateaus_and_patience() {
        let mut state = State::new(0);
        for epoch in 1..=6 {
            state.judge(best(epoch, 5, 8));
            state.count_epoch(Some(2));
        }
        let counts = |state: &State| (state.plateaus, state.since_plateau, state.since_rise);
        assert_eq!(counts(&state), (2, 1, 5));
        state.reset_counts();
        assert_eq!(counts(&state), (0, 0, 0));
        assert_eq!(state.best, Some(best(1, 5, 8)));
    }

    #[test]
    fn a_tie_broken_by_clean_accuracy_is_no_rise() {
        let mut state = State::new(0);
        let mut epoch = |candidates: &[Best]| {
            let better = candidates.iter().map(|candidate| state.judge(*candidate)).collect::<Vec<_>>();
            state.count_epoch(Some(3));
            (better, state.since_rise, state.since_plateau, state.plateaus)
        };
        assert_eq!(epoch(&[best(1, 5, 6)]), (vec![true], 0, 0, 0));
        assert_eq!(epoch(&[best(2, 5, 7)]), (vec![true], 1, 1, 0));
        assert_eq!(epoch(&[best(3, 5, 8)]), (vec![true], 2, 2, 0));
        assert_eq!(epoch(&[best(4, 5, 9)]), (vec![true], 3, 0, 1));
        // Raw and averaged weights: either's rise counts.
        assert_eq!(epoch(&[best(5, 6, 1), best(5, 6, 2)]), (vec![true, true], 0, 0, 1));
        assert_eq!(epoch(&[best(6, 4, 9), best(6, 7, 0)]), (vec![false, true], 0, 0, 1));
    }
}

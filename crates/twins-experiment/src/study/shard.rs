use std::fmt;
use std::str::FromStr;

use super::StudyError;

/// A part of the jobs of a study: shard I of N has every N-th job.
///
/// ```
/// use twins_experiment::Shard;
///
/// let shard: Shard = "2/3".parse()?;
/// assert_eq!((0..7).filter(|job| shard.has(*job)).collect::<Vec<_>>(), [1, 4]);
/// assert!("0/3".parse::<Shard>().is_err() && "4/3".parse::<Shard>().is_err());
/// # Ok::<(), twins_experiment::StudyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The index, from 1.
    index: usize,
    count: usize,
}

impl Shard {
    /// The only shard of an undivided study.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Shard `index` of `count`, from 1.
    ///
    /// # Errors
    ///
    /// [`StudyError::Shard`] unless 1 ≤ `index` ≤ `count`.
    pub fn new(index: usize, count: usize) -> Result<Self, StudyError> {
        match (1..=count).contains(&index) {
            true => Ok(Self { index, count }),
            false => Err(StudyError::Shard { text: format!("{index}/{count}") }),
        }
    }

    /// Whether a job, numbered from 0, belongs to the shard.
    pub fn has(&self, job: usize) -> bool {
        job % self.count == self.index - 1
    }

    /// Whether the shard has every job.
    pub fn is_whole(&self) -> bool {
        self.count == 1
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl FromStr for Shard {
    type Err = StudyError;

    fn from_str(text: &str) -> Result<Self, StudyError> {
        let numbers =
            text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let (index, count) = numbers.ok_or_else(|| StudyError::Shard { text: text.to_owned() })?;
        Self::new(index, count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// The kinds of jobs of a study to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The trials that choose the learning rates.
    Trials,
    /// The runs, one for each arm and seed.
    Runs,
    /// The trials, then the runs.
    #[default]
    All,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 3] = [Self::Trials, Self::Runs, Self::All];

    /// Whether the phase includes trials.
    pub fn has_trials(self) -> bool {
        self != Self::Runs
    }

    /// Whether the phase includes runs.
    pub fn has_runs(self) -> bool {
        self != Self::Trials
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_in_one_shard() {
        for count in 1..=5 {
            let shards: Vec<Shard> = (1..=count).map(|index| Shard::new(index, count).unwrap()).collect();
            for job in 0..23 {
                assert_eq!(
                    shards.iter().filter(|shard| shard.has(job)).count(),
                    1,
                    "job {job} of {count} shards"
                );
            }
        }
        assert!(Shard::WHOLE.is_whole() && (0..5).all(|job| Shard::WHOLE.has(job)));
    }

    #[test]
    fn shards_are_written_as_they_are_read() {
        for text in ["1/1", "1/4", "4/4"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        for text in ["0/4", "5/4", "1/0", "0/0", "1", "a/b", "1/4/2", "-1/4", "", "1 of 4"] {
            let message = text.parse::<Shard>().unwrap_err().to_string();
            assert!(message.contains(&format!("\"{text}\"")) && message.contains("1/4"), "{message}");
        }
    }
}

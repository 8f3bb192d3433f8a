use super::StudyJob;
use super::collection::Collection;

/// Estimates the duration of jobs from the jobs that have finished.
pub(super) struct Estimate {
    /// The durations of finished jobs in seconds.
    known: Vec<(StudyJob, f64)>,
}

impl Estimate {
    /// Creates an estimate from the records of finished jobs.
    pub(super) fn new(collection: &Collection) -> Self {
        Self { known: collection.seconds().map(|(job, seconds)| (job.clone(), seconds)).collect() }
    }

    /// Adds a job that has finished.
    pub(super) fn add(&mut self, job: &StudyJob, seconds: f64) {
        self.known.push((job.clone(), seconds));
    }

    /// Describes the estimated duration of jobs; `None` until a job of their kind has finished.
    pub(super) fn describe(&self, jobs: &[StudyJob]) -> Option<String> {
        let seconds: Option<f64> = jobs.iter().map(|job| self.seconds(job)).sum();
        seconds.map(|seconds| format!("about {}", duration(seconds)))
    }

    /// The mean of the jobs of the same kind and arm, or of the same kind alone.
    fn seconds(&self, job: &StudyJob) -> Option<f64> {
        let is_run = |job: &StudyJob| matches!(job, StudyJob::Run { .. });
        let alike = |other: &&(StudyJob, f64)| is_run(&other.0) == is_run(job);
        let of_arm = mean(self.known.iter().filter(alike).filter(|other| other.0.arm() == job.arm()));
        of_arm.or_else(|| mean(self.known.iter().filter(alike)))
    }
}

fn mean<'a>(jobs: impl Iterator<Item = &'a (StudyJob, f64)>) -> Option<f64> {
    let seconds: Vec<f64> = jobs.map(|job| job.1).collect();
    (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64)
}

/// A duration with its two largest units.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Candidate;

    #[test]
    fn durations_have_two_units() {
        for (seconds, text) in [
            (0.4, "0 s"),
            (59.6, "1 min 0 s"),
            (125.0, "2 min 5 s"),
            (3_720.0, "1 h 2 min"),
            (180_000.0, "2 d 2 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn jobs_take_as_long_as_those_of_their_arm_or_kind() {
        let run = |arm: &str, seed| StudyJob::Run { arm: arm.to_owned(), seed };
        let trial = StudyJob::Trial { arm: "at".to_owned(), candidate: Candidate::of_learning_rate(0.1) };
        let mut estimate = Estimate { known: vec![(trial.clone(), 1.0)] };
        assert_eq!(estimate.describe(&[run("at", 0)]), None, "a trial says nothing about a run");
        estimate.add(&run("at", 0), 10.0);
        estimate.add(&run("twins-at", 0), 20.0);
        // 10 + 20 + their mean.
        let jobs = [run("at", 1), run("twins-at", 1), run("trades", 0)];
        assert_eq!(estimate.describe(&jobs).as_deref(), Some("about 45 s"));
        assert_eq!(estimate.describe(&[trial]).as_deref(), Some("about 1 s"));
    }
}

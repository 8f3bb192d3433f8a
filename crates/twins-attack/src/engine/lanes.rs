use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads that each pass a part of a batch to the model.
///
/// One model call does not keep all cores of a CPU busy. Some of its operations run on one core (copies, element-wise
/// operations), others are split into pieces too short to be worth handing to another thread, and a large batch does
/// not fit into the caches. Separate calls do not wait for each other. Each lane is a pool of one thread, so that any
/// parallel work of the model stays in its lane. This also prevents a thread from picking up another lane's work in the
/// middle of its own, which could deadlock if the backend holds a lock.
pub(crate) struct Lanes(Vec<ThreadPool>);

impl Lanes {
    /// Creates `count` lanes. A single lane is the caller's own thread, with whatever parallelism the model has.
    pub(crate) fn new(count: usize) -> Self {
        let lane = |_| ThreadPoolBuilder::new().num_threads(1).build();
        // If the threads cannot be created, the caller's thread does the work.
        let pools = (0..count).map(lane).collect::<Result<Vec<_>, _>>().unwrap_or_default();
        Self(if pools.len() > 1 { pools } else { Vec::new() })
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len().max(1)
    }

    /// Runs the jobs in parallel, at most as many as there are lanes. The results are in the order of the jobs.
    pub(crate) fn run<T: Send>(&self, jobs: Vec<impl FnOnce() -> T + Send>) -> Vec<T> {
        assert!(jobs.len() <= self.count(), "{} jobs for {} lanes", jobs.len(), self.count());
        if jobs.len() < 2 {
            return jobs.into_iter().map(|job| job()).collect();
        }
        let mut results: Vec<Option<T>> = jobs.iter().map(|_| None).collect();
        let work = jobs.into_iter().zip(&mut results);
        spread(&self.0, &mut work.map(|(job, result)| move || *result = Some(job())));
        results.into_iter().map(|result| result.expect("every job has been waited for")).collect()
    }
}

/// Starts a job in each lane and waits for all of them.
fn spread<J: FnOnce() + Send>(lanes: &[ThreadPool], jobs: &mut dyn Iterator<Item = J>) {
    if let (Some((lane, others)), Some(job)) = (lanes.split_first(), jobs.next()) {
        lane.in_place_scope(|scope| {
            scope.spawn(|_| job());
            spread(others, jobs);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn jobs_run_side_by_side_each_on_one_thread() {
        let lanes = Lanes::new(3);
        // As many jobs as lanes, and fewer.
        for jobs in [3, 2] {
            let all_here = Barrier::new(jobs);
            let job = |i: usize| {
                let all_here = &all_here;
                move || {
                    // Would wait for ever if one job waited for another to end.
                    all_here.wait();
                    (i, rayon::current_num_threads())
                }
            };
            assert_eq!(lanes.run((0..jobs).map(job).collect()), [(0, 1), (1, 1), (2, 1)][..jobs]);
        }
    }

    #[test]
    fn one_lane_is_the_callers_thread() {
        let here = std::thread::current().id();
        for lanes in [Lanes::new(0), Lanes::new(1)] {
            assert_eq!(lanes.count(), 1);
            assert_eq!(lanes.run(vec![|| std::thread::current().id()]), [here]);
        }
    }
}

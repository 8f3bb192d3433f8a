//! Whether memory, open handles, threads and the time of a step stay level over a long run.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs::File;

use twins_testing::{in_own_process, open_handles, resident_memory, threads};

const MIB: f64 = 1_048_576.0;

/// The most that handles and threads may grow. Their counts vary by one or two, because the trainer's loader ends before its epoch does,
/// but over tens of samples a straight line averages this out: it changes the growth by a few tenths.
const MOST_GROWTH: f64 = 1.0;

/// How much more time the last tenth of a run may take than the first.
const MOST_SLOWDOWN: f64 = 1.05;

/// What a run has to keep to.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The most that the resident memory may grow, in MiB.
    pub memory: f64,
    /// Whether the time of the last tenth is checked. Other tests that run at the same time would decide it.
    pub timed: bool,
}

/// What the process holds at one moment.
#[derive(Clone, Copy)]
pub struct Usage {
    /// Resident memory in MiB.
    memory: f64,
    handles: f64,
    threads: f64,
}

impl Usage {
    pub fn now() -> Self {
        let expected = "Linux reports it";
        Self {
            memory: resident_memory().expect(expected) as f64 / MIB,
            handles: open_handles().expect(expected) as f64,
            threads: threads().expect(expected) as f64,
        }
    }
}

/// What was measured in the course of a run.
#[derive(Default)]
pub struct Series {
    pub usage: Vec<Usage>,
    /// Kind of work and seconds, of each step or batch.
    pub times: Vec<(usize, f64)>,
}

impl Series {
    /// Prints each quantity in one line, and returns the lines of those that are not level.
    pub fn problems(&self, name: &str, limits: Limits) -> Vec<String> {
        // The first fifth is for the allocator, the pools of threads and the buffers that are created when they are first needed.
        let usage = &self.usage[self.usage.len() / 5..];
        assert!(usage.len() >= 20, "{name}: {} samples are too few for a straight line", usage.len());
        let of = |value: fn(&Usage) -> f64| -> Vec<f64> { usage.iter().map(value).collect() };
        let quantities = [
            ("resident memory, MiB", of(|usage| usage.memory), limits.memory),
            ("open handles", of(|usage| usage.handles), MOST_GROWTH),
            ("threads", of(|usage| usage.threads), MOST_GROWTH),
        ];
        let mut problems = Vec::new();
        for (quantity, values, limit) in quantities {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(0.0, f64::max);
            let growth = growth(&values);
            let line = format!(
                "{name}: {quantity}: {low:.1} to {high:.1}, growth {growth:+.2} in the last 80 % (limit {limit})"
            );
            println!("{line}");
            if growth >= limit {
                problems.push(line);
            }
        }
        let (count, slowdown) = (self.times.len(), slowdown(&self.times));
        let limit = if limits.timed { format!("limit {MOST_SLOWDOWN}") } else { "not checked".to_owned() };
        let line =
            format!("{name}: last tenth of {count} steps in {slowdown:.3} of the first's time ({limit})");
        println!("{line}");
        if limits.timed && slowdown > MOST_SLOWDOWN {
            problems.push(line);
        }
        problems
    }
}

/// The rise of the straight line through the values (least squares) from the first to the last. A single high value, which the allocator
/// gives back, hardly changes it, unlike the difference of the last and the first value.
fn growth(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let (centre, mean) = ((count - 1.0) / 2.0, values.iter().sum::<f64>() / count);
    let (mut product, mut square) = (0.0, 0.0);
    for (place, value) in values.iter().enumerate() {
        let distance = place as f64 - centre;
        product += distance * (value - mean);
        square += distance * distance;
    }
    product / square * (count - 1.0)
}

/// The time of the last tenth as a multiple of that of the first, without a twentieth to warm up. Each time is divided by the median of its
/// kind of work, and the medians of both tenths are compared, so that neither a mixture of attacks nor a busy moment decides.
fn slowdown(times: &[(usize, f64)]) -> f64 {
    let mut kinds: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (kind, seconds) in times {
        kinds.entry(*kind).or_default().push(*seconds);
    }
    let usual: BTreeMap<usize, f64> = kinds.into_iter().map(|(kind, times)| (kind, median(times))).collect();
    let relative: Vec<f64> = times.iter().map(|(kind, seconds)| seconds / usual[kind]).collect();
    let (tenth, warm_up) = (relative.len() / 10, relative.len() / 20);
    let first = &relative[warm_up..warm_up + tenth];
    let last = &relative[relative.len() - tenth..];
    median(last.to_vec()) / median(first.to_vec())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn growth_by_hand() {
    assert_eq!(growth(&[2.0, 3.0, 4.0, 5.0]), 3.0);
    // The distances from the centre are -1.5, -0.5, 0.5 and 1.5: the slope is (0.5 + 1.5) / 5, and the line has three steps. The bound is
    // some roundings in double precision.
    assert!((growth(&[0.0, 0.0, 1.0, 1.0]) - 1.2).abs() < 1e-15);
    assert_eq!(growth(&[7.0; 5]), 0.0);
}

#[test]
fn neither_a_mixture_nor_a_busy_moment_is_a_slowdown() {
    // Two kinds of work, of which the second takes ten times as long, and one step in five that is disturbed.
    let time = |place: usize, seconds: f64| {
        let kind = place % 2;
        let (slow, disturbed) = (if kind == 1 { 10.0 } else { 1.0 }, place.is_multiple_of(5));
        (kind, seconds * slow * if disturbed { 100.0 } else { 1.0 })
    };
    let level: Vec<_> = (0..1000).map(|place| time(place, 1.0)).collect();
    assert_eq!(slowdown(&level), 1.0);
    // The time rises by a tenth from beginning to end. With the disturbed fifth above all others, the medians are those of the steps 112
    // and 962 or their neighbours: 1.0962 / 1.0112 = 1.084.
    let slower: Vec<_> = (0..1000).map(|place| time(place, 1.0 + place as f64 / 10_000.0)).collect();
    let found = slowdown(&slower);
    assert!((1.082..1.086).contains(&found), "{found}");
}

#[test]
fn what_is_kept_is_found() {
    in_own_process("level::what_is_kept_is_found", || {
        let limits = Limits { memory: 4.0, timed: true };
        let mut series = Series::default();
        let mut kept = Vec::new();
        for sample in 0..100 {
            series.times.push((0, 1.0));
            kept.push((vec![1_u8; 256 << 10], File::open("/dev/null").unwrap()));
            if sample % 10 == 0 {
                std::thread::spawn(|| {
                    loop {
                        std::thread::park();
                    }
                });
            }
            series.usage.push(Usage::now());
        }
        std::hint::black_box(&kept);
        // 20 MiB, 80 handles and 8 threads in the last 80 %.
        let problems = series.problems("kept", limits);
        let named = |quantity: &str| problems.iter().any(|problem| problem.contains(quantity));
        assert!(
            problems.len() == 3 && named("memory") && named("handles") && named("threads"),
            "{problems:?}"
        );

        let level = Series { usage: vec![Usage::now(); 100], times: vec![(0, 1.0); 100] };
        assert_eq!(level.problems("level", limits), Vec::<String>::new());
        let times = (0..100).map(|place| (0, if place < 50 { 1.0 } else { 1.06 })).collect();
        let slower = Series { times, ..level };
        assert_eq!(slower.problems("slower", limits).len(), 1);
        assert_eq!(slower.problems("slower", Limits { timed: false, ..limits }), Vec::<String>::new());
    });
}

use crate::norms::norm::Norm;

/// In L2 and L1, values whose normal is smaller than this do not move, as in the reference: they would have to move
/// very far.
const NEGLIGIBLE: f32 = 1e-8;

/// Writes the smallest step, measured in the norm, from `point` onto the hyperplane
/// `{ z : normal · (z - point) = -gap }` within the box [0, 1] (Croce & Hein 2020, arXiv 1907.02044, Sec. 2.2). If the
/// hyperplane does not intersect the box, the step leads to the corner of the box that is nearest to it.
///
/// Each value can move by at most `room_i` against the sign of `gap · normal_i`. In Linf it moves by `min(λ, room_i)`,
/// and in L2 by `min(λ |normal_i|, room_i)`, with the `λ` that closes the gap. In L1 the values with the largest
/// `|normal_i|` move as far as they can until the gap is closed.
pub(super) fn step_to_hyperplane(norm: Norm, point: &[f32], normal: &[f32], gap: f64, step: &mut [f32]) {
    // Moving against w lowers w · z, which is what a positive gap requires.
    let downhill = if gap >= 0.0 { 1.0 } else { -1.0 };
    let gap = gap.abs();
    let smallest = if norm == Norm::Linf { 0.0 } else { NEGLIGIBLE };
    // `step` first holds the signed room of each value that can help to close the gap.
    for ((s, &p), &w) in step.iter_mut().zip(point).zip(normal) {
        let w = w * downhill;
        *s = if w.abs() <= smallest {
            0.0
        } else if w > 0.0 {
            -p
        } else {
            1.0 - p
        };
    }
    match norm {
        Norm::Linf => {
            let lambda = multiplier(step, normal, gap, f64::from);
            step.iter_mut().for_each(|s| *s = s.clamp(-lambda, lambda));
        }
        Norm::L2 => {
            let lambda = multiplier(step, normal, gap, |w| f64::from(w) * f64::from(w));
            step.iter_mut().zip(normal).for_each(|(s, &w)| {
                let most = if w == 0.0 { 0.0 } else { lambda * w.abs() };
                *s = s.clamp(-most, most);
            });
        }
        Norm::L1 => greedy(step, normal, gap),
        other => unreachable!("FabConfig::build refuses {other}"),
    }
}

/// The `λ` that solves `Σ min(λ · rate(|w_i|), |w_i| room_i) = gap`, or infinity if the sum cannot reach the gap.
///
/// The sum is concave and piecewise linear in `λ`, so Newton's method started at 0 climbs to the solution in finitely
/// many steps.
fn multiplier(room: &[f32], normal: &[f32], gap: f64, rate: impl Fn(f32) -> f64) -> f32 {
    let mut lambda = 0.0_f64;
    // Each round but the last saturates at least one more value. In practice, a handful of rounds is enough.
    for _ in 0..=room.len() {
        let [fixed, slope] = sums(room, normal, |room, w| {
            let reach = f64::from(room.abs() * w.abs());
            // In double precision, because the square of a gradient of 1e20 is beyond single precision.
            let rate = if room == 0.0 { 0.0 } else { rate(w.abs()) };
            if lambda * rate >= reach { [reach, 0.0] } else { [0.0, rate] }
        });
        if slope == 0.0 {
            return if fixed < gap { f32::INFINITY } else { lambda as f32 };
        }
        let next = (gap - fixed) / slope;
        if next <= lambda {
            break;
        }
        lambda = next;
    }
    lambda as f32
}

/// The sums of two terms over all values. Several partial sums run in parallel, so that no addition waits for the
/// previous one.
fn sums(room: &[f32], normal: &[f32], terms: impl Fn(f32, f32) -> [f64; 2]) -> [f64; 2] {
    const LANES: usize = 16;
    let mut sums = [[0.0; LANES]; 2];
    let (rooms, normals) = (room.as_chunks::<LANES>(), normal.as_chunks::<LANES>());
    for (room, normal) in rooms.0.iter().zip(normals.0) {
        for lane in 0..LANES {
            let [first, second] = terms(room[lane], normal[lane]);
            sums[0][lane] += first;
            sums[1][lane] += second;
        }
    }
    for (lane, (&room, &w)) in rooms.1.iter().zip(normals.1).enumerate() {
        let [first, second] = terms(room, w);
        sums[0][lane] += first;
        sums[1][lane] += second;
    }
    sums.map(|lanes| lanes.iter().sum())
}

/// Keeps the room of the values with the largest `|w|` until the gap is closed, and sets the room of the others to
/// zero.
fn greedy(room: &mut [f32], normal: &[f32], gap: f64) {
    let mut order: Vec<usize> = (0..room.len()).filter(|&i| room[i] != 0.0).collect();
    order.sort_unstable_by(|&a, &b| normal[b].abs().total_cmp(&normal[a].abs()).then(a.cmp(&b)));
    let mut left = gap;
    for i in order {
        let reach = f64::from(room[i].abs() * normal[i].abs());
        if reach > left {
            room[i] *= (left / reach) as f32;
        }
        left = (left - reach).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(norm: Norm, point: &[f32], normal: &[f32], gap: f64) -> Vec<f32> {
        let mut step = vec![0.0; point.len()];
        step_to_hyperplane(norm, point, normal, gap, &mut step);
        step
    }

    fn close(a: &[f32], b: &[f32]) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} {b:?}");
    }

    #[test]
    fn hand_computed_steps() {
        let (point, normal) = ([0.5, 0.5, 0.5], [3.0, -4.0, 0.0]);
        close(&step(Norm::Linf, &point, &normal, 0.7), &[-0.1, 0.1, 0.0]);
        close(&step(Norm::Linf, &point, &normal, -0.7), &[0.1, -0.1, 0.0]);
        close(&step(Norm::L2, &point, &normal, 2.5), &[-0.3, 0.4, 0.0]);
        close(&step(Norm::L1, &point, &normal, 1.0), &[0.0, 0.25, 0.0]);
        // The second value closes 2.0 of the gap, the first the rest.
        close(&step(Norm::L1, &point, &normal, 2.3), &[-0.1, 0.5, 0.0]);
        // The wall stops the second value at 0.1 = 0.4 of the gap; the first closes 0.6.
        close(&step(Norm::Linf, &[0.5, 0.9, 0.5], &normal, 1.0), &[-0.2, 0.1, 0.0]);
        close(&step(Norm::L2, &[0.5, 0.9, 0.5], &normal, 1.0), &[-0.2, 0.1, 0.0]);
    }

    #[test]
    fn the_step_does_not_depend_on_the_scale_of_the_boundary() {
        let (point, normal) = ([0.5, 0.5, 0.5], [3.0, -4.0, 0.0]);
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            // A power of two, so that scaling does not round.
            let scale = 2.0_f32.powi(100);
            let huge = step(norm, &point, &normal.map(|w| w * scale), 0.7 * f64::from(scale));
            close(&huge, &step(norm, &point, &normal, 0.7));
        }
    }

    #[test]
    fn out_of_reach_is_the_corner() {
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            close(&step(norm, &[0.5, 0.25, 0.5], &[1.0, -1.0, 0.0], 9.0), &[-0.5, 0.75, 0.0]);
            close(&step(norm, &[0.5, 0.25], &[0.0, 0.0], 9.0), &[0.0, 0.0]);
        }
    }

    proptest! {
        #[test]
        fn the_step_closes_the_gap_and_no_other_is_shorter(
            norm in prop_oneof![Just(Norm::Linf), Just(Norm::L2), Just(Norm::L1)],
            values in prop::collection::vec((0.0f32..=1.0, -2.0f32..2.0, 0.0f32..=1.0), 1..8),
            fraction in 0.05f64..0.95,
            side in prop::bool::ANY,
        ) {
            let point: Vec<f32> = values.iter().map(|v| v.0).collect();
            let normal: Vec<f32> = values.iter().map(|v| v.1).collect();
            let down = if side { 1.0 } else { -1.0 };
            let reach: f64 = point.iter().zip(&normal).map(|(&p, &w)| {
                let w = w * down;
                f64::from(if w > 0.0 { w * p } else { -w * (1.0 - p) })
            }).sum();
            prop_assume!(reach > 1e-2);
            let gap = f64::from(down) * fraction * reach;
            let found = step(norm, &point, &normal, gap);
            let closed = |s: &[f32]| -> f64 { s.iter().zip(&normal).map(|(&s, &w)| f64::from(s) * f64::from(w)).sum() };
            // Sums of at most 8 terms of f32 precision.
            prop_assert!((closed(&found) + gap).abs() < 1e-5, "{} {gap}", closed(&found));
            for (s, p) in found.iter().zip(&point) {
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&(p + s)));
            }
            // A random other way to the hyperplane, if it gets there, is not shorter.
            let other: Vec<f32> = values.iter().map(|v| v.2 - v.0).collect();
            if down * (closed(&other) as f32) < 0.0 && closed(&other).abs() >= gap.abs() {
                let scale = (gap / -closed(&other)) as f32;
                let length = norm.length(other.iter().map(|o| o * scale));
                prop_assert!(norm.length(found.iter().copied()) <= length + 1e-5);
            }
        }
    }
}

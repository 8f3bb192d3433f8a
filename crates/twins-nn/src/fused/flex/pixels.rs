//! The arithmetic on tensors in which the channels of a pixel are contiguous.
//!
//! Parameters of channels are repeated until they are much longer than a vector, so that every loop runs over whole vectors for any
//! number of channels.

use std::array;

use macerator::AutoArch;
use rayon::prelude::*;

use super::kernels::{Line, Pull, activate};
use super::sums::{GradientSums, Moments, wide};

/// Approximate length of a repetition, in values.
const PERIOD: usize = 256;

/// Number of repetitions that are summed in single precision: few enough for the rounding error to be negligible.
const PIECE: usize = 32;

/// Number of repetitions that a thread takes at once: those of two pieces. With fewer, starting threads costs more than it saves.
const JOB: usize = 64;

/// The length of a repetition.
fn period(channels: usize) -> usize {
    channels * PERIOD.div_ceil(channels)
}

/// One number for each channel, repeated.
fn repeated(numbers: impl Iterator<Item = f32>) -> Vec<f32> {
    let numbers: Vec<f32> = numbers.collect();
    numbers.repeat(PERIOD.div_ceil(numbers.len()))
}

/// At most `count` values from `start` on.
fn part(values: &[f32], start: usize, count: usize) -> &[f32] {
    let rest = &values[start..];
    &rest[..count.min(rest.len())]
}

/// One number of each channel's line, repeated.
fn of_lines(lines: &[Line], value: fn(&Line) -> f32) -> Vec<f32> {
    repeated(lines.iter().map(value))
}

/// Computes `out[i] = value(out[i], inputs[..][i], parameters[..][i])`, with the parameters repeated.
fn map<const I: usize, const P: usize>(
    out: &mut [f32],
    inputs: [&[f32]; I],
    parameters: [&[f32]; P],
    value: impl Fn(f32, [f32; I], [f32; P]) -> f32 + Sync,
) {
    let period = parameters[0].len();
    let job = period * JOB;
    out.par_chunks_mut(job).enumerate().for_each(|(number, out)| {
        let inputs = inputs.map(|input| &input[number * job..][..out.len()]);
        AutoArch::new().dispatch(|| {
            for (number, out) in out.chunks_mut(period).enumerate() {
                let length = out.len();
                let inputs = inputs.map(|input| &input[number * period..][..length]);
                let parameters = parameters.map(|parameter| &parameter[..length]);
                for at in 0..length {
                    out[at] = value(out[at], inputs.map(|input| input[at]), parameters.map(|p| p[at]));
                }
            }
        });
    });
}

/// Sums terms over the pixels of a piece in single precision. The result has one sum for each position of a repetition.
#[inline(always)]
fn sums<const I: usize, const P: usize, const T: usize>(
    inputs: [&[f32]; I],
    parameters: [&[f32]; P],
    period: usize,
    terms: impl Fn([f32; I], [f32; P]) -> [f32; T],
) -> [Vec<f32>; T] {
    let mut sums: [Vec<f32>; T] = array::from_fn(|_| vec![0.0; period]);
    for start in (0..inputs[0].len()).step_by(period) {
        let length = period.min(inputs[0].len() - start);
        let inputs = inputs.map(|input| &input[start..][..length]);
        let parameters = parameters.map(|parameter| &parameter[..length]);
        let sums = sums.each_mut().map(|sum| &mut sum[..length]);
        for at in 0..length {
            let terms = terms(inputs.map(|input| input[at]), parameters.map(|p| p[at]));
            for term in 0..T {
                sums[term][at] += terms[term];
            }
        }
    }
    sums
}

/// Adds up the sums of one channel, in double precision.
fn total(sums: &[f32], channel: usize, channels: usize) -> f64 {
    sums.iter().skip(channel).step_by(channels).map(|&sum| f64::from(sum)).sum()
}

/// Merges the results of `of_piece` for every channel over all pieces, in the same order for any number of threads.
fn merged<T: Copy + Send + Sync, const I: usize>(
    inputs: [&[f32]; I],
    channels: usize,
    none: T,
    of_piece: impl Fn([&[f32]; I]) -> Vec<T> + Sync,
    merge: impl Fn(T, T) -> T + Sync,
) -> Vec<T> {
    let [piece, job] = [PIECE, JOB].map(|repetitions| repetitions * period(channels));
    let add = |mut all: Vec<T>, other: Vec<T>| {
        all.iter_mut().zip(other).for_each(|(all, other)| *all = merge(*all, other));
        all
    };
    let empty = || vec![none; channels];
    let of_job = |start: usize| {
        let inputs = inputs.map(|input| part(input, start, job));
        (0..inputs[0].len())
            .step_by(piece)
            .fold(empty(), |all, start| add(all, of_piece(inputs.map(|input| part(input, start, piece)))))
    };
    let results: Vec<Vec<T>> = (0..inputs[0].len()).into_par_iter().step_by(job).map(of_job).collect();
    results.into_iter().fold(empty(), add)
}

/// Computes the moments of every channel.
pub(super) fn moments(x: &[f32], channels: usize) -> Vec<Moments> {
    let of_piece = |[x]: [&[f32]; 1]| AutoArch::new().dispatch(|| piece_moments(x, channels));
    merged([x], channels, Moments::NONE, of_piece, Moments::merge)
}

#[inline(always)]
fn piece_moments(x: &[f32], channels: usize) -> Vec<Moments> {
    let count = x.chunks_exact(channels).len() as f64;
    let [plain] = sums([x], [], period(channels), |[x], []| [x]);
    let centre = repeated((0..channels).map(|channel| (total(&plain, channel, channels) / count) as f32));
    let [first, second] = sums([x], [&centre], period(channels), |[x], [centre]| {
        let distance = x - centre;
        [distance, distance * distance]
    });
    let of_channel = |channel: usize| {
        let moments = Moments::around(
            centre[channel],
            count,
            [total(&first, channel, channels), total(&second, channel, channels)],
        );
        match moments.is_finite() {
            true => moments,
            false => wide(x.iter().copied().skip(channel).step_by(channels)),
        }
    };
    (0..channels).map(of_channel).collect()
}

/// Applies the lines of one wing to its pixels, in place if `x` is `None`.
pub(super) fn forward<const RELU: bool>(
    x: Option<&[f32]>,
    residual: Option<&[f32]>,
    out: &mut [f32],
    lines: &[Line],
) {
    let values = [|line: &Line| line.mean, |line: &Line| line.scale, |line: &Line| line.shift];
    let parameters = values.map(|value| of_lines(lines, value));
    let parameters = parameters.each_ref().map(Vec::as_slice);
    let at = |x: f32, [mean, scale, shift]: [f32; 3]| (x - mean) * scale + shift;
    match (x, residual) {
        (None, None) => map(out, [], parameters, |x, [], line| activate::<RELU>(at(x, line))),
        (Some(x), None) => map(out, [x], parameters, |_, [x], line| activate::<RELU>(at(x, line))),
        (None, Some(residual)) => {
            map(out, [residual], parameters, |x, [residual], line| activate::<RELU>(at(x, line) + residual));
        }
        (Some(x), Some(residual)) => map(out, [x, residual], parameters, |_, [x, residual], line| {
            activate::<RELU>(at(x, line) + residual)
        }),
    }
}

/// The gradient that ReLU passes on. As in PyTorch, it is 0 where the output is 0, and `g` where the output is NaN.
#[inline(always)]
fn open(g: f32, y: f32) -> f32 {
    if y <= 0.0 { 0.0 } else { g }
}

/// Computes the sums that the gradients of one wing need, per channel. The output `y` is given if ReLU's gradient is still to be
/// applied.
pub(super) fn gradient_sums(
    gradient: &[f32],
    x: &[f32],
    y: Option<&[f32]>,
    lines: &[Line],
) -> Vec<GradientSums> {
    let channels = lines.len();
    let mean = of_lines(lines, |line| line.mean);
    let of_channels = |[plain, distance]: [Vec<f32>; 2]| {
        let of_channel = |channel: usize| GradientSums {
            plain: total(&plain, channel, channels),
            distance: total(&distance, channel, channels),
        };
        (0..channels).map(of_channel).collect()
    };
    let terms = |g: f32, x: f32, mean: f32| [g, g * (x - mean)];
    let ungated = |inputs: [&[f32]; 2]| {
        AutoArch::new().dispatch(|| {
            of_channels(sums(inputs, [&mean], period(channels), |[g, x], [mean]| terms(g, x, mean)))
        })
    };
    let gated = |inputs: [&[f32]; 3]| {
        AutoArch::new().dispatch(|| {
            of_channels(sums(inputs, [&mean], period(channels), |[g, x, y], [mean]| {
                terms(open(g, y), x, mean)
            }))
        })
    };
    match y {
        None => merged([gradient, x], channels, GradientSums::NONE, ungated, GradientSums::merge),
        Some(y) => merged([gradient, x, y], channels, GradientSums::NONE, gated, GradientSums::merge),
    }
}

/// Computes the gradient of the fixed wing's pixels, in place if `gradient` is `None`. The output `y` is given if ReLU's gradient is
/// still to be applied.
pub(super) fn backward_fixed(gradient: Option<&[f32]>, y: Option<&[f32]>, out: &mut [f32], lines: &[Line]) {
    let scale = of_lines(lines, |line| line.scale);
    match (gradient, y) {
        (None, None) => map(out, [], [&scale], |g, [], [scale]| g * scale),
        (None, Some(y)) => map(out, [y], [&scale], |g, [y], [scale]| open(g, y) * scale),
        (Some(gradient), None) => map(out, [gradient], [&scale], |_, [g], [scale]| g * scale),
        (Some(gradient), Some(y)) => {
            map(out, [gradient, y], [&scale], |_, [g, y], [scale]| open(g, y) * scale);
        }
    }
}

/// Does the same for the batch wing, whose statistics depend on every input.
pub(super) fn backward_batch(
    gradient: Option<&[f32]>,
    x: &[f32],
    y: Option<&[f32]>,
    out: &mut [f32],
    lines: &[Line],
    pulls: &[Pull],
) {
    let values = [|line: &Line| line.mean, |line: &Line| line.scale, |line: &Line| line.inv_std];
    let [mean, scale, inv_std] = values.map(|value| of_lines(lines, value));
    let slope = repeated(pulls.iter().map(|pull| pull.slope));
    let offset = repeated(pulls.iter().map(|pull| pull.offset));
    let parameters = [mean.as_slice(), &scale, &inv_std, &slope, &offset];
    let at = |g: f32, x: f32, [mean, scale, inv_std, slope, offset]: [f32; 5]| {
        g * scale - (x - mean) * inv_std * slope - offset
    };
    match (gradient, y) {
        (None, None) => map(out, [x], parameters, |g, [x], line| at(g, x, line)),
        (None, Some(y)) => map(out, [x, y], parameters, |g, [x, y], line| at(open(g, y), x, line)),
        (Some(gradient), None) => map(out, [gradient, x], parameters, |_, [g, x], line| at(g, x, line)),
        (Some(gradient), Some(y)) => {
            map(out, [gradient, x, y], parameters, |_, [g, x, y], line| at(open(g, y), x, line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pixels of two channels.
    const X: [f32; 4] = [2.0, 0.0, -3.0, -1.0];

    /// (x − 1) · 2 + 3, with x̂ = (x − 1) / 2, and (x + 1) · 6 − 2, with x̂ = (x + 1) · 2.
    fn lines() -> [Line; 2] {
        [Line::new(1.0, 4.0, 4.0, 3.0, 0.0), Line::new(-1.0, 0.25, 3.0, -2.0, 0.0)]
    }

    const GRADIENT: [f32; 4] = [1.0, 2.0, 3.0, 4.0];

    /// ReLU is closed in the middle.
    const Y: [f32; 4] = [5.0, 0.0, 0.0, 1.0];

    /// What `operation` computes in place of the values, which has to be what it computes from them elsewhere.
    fn either_way(values: [f32; 4], operation: impl Fn(Option<&[f32]>, &mut [f32])) -> [f32; 4] {
        let [mut elsewhere, mut in_place] = [[f32::NAN; 4], values];
        operation(Some(&values), &mut elsewhere);
        operation(None, &mut in_place);
        assert_eq!(elsewhere, in_place);
        in_place
    }

    #[test]
    fn forward_by_hand() {
        let plain = either_way(X, |x, out| forward::<false>(x, None, out, &lines()));
        assert_eq!(plain, [5.0, 4.0, -5.0, -2.0]);
        let residual: [f32; 4] = [-6.0, 0.5, 7.0, 1.5];
        let added = either_way(X, |x, out| forward::<true>(x, Some(&residual), out, &lines()));
        assert_eq!(added, [0.0, 4.5, 2.0, 0.0]);
    }

    #[test]
    fn backward_by_hand() {
        let of_fixed = |y: Option<&[f32]>| either_way(GRADIENT, |g, out| backward_fixed(g, y, out, &lines()));
        assert_eq!(of_fixed(None), [2.0, 12.0, 6.0, 24.0]);
        assert_eq!(of_fixed(Some(&Y)), [2.0, 0.0, 0.0, 24.0]);
        let pulls = [Pull { slope: 4.0, offset: 1.0 }, Pull { slope: 0.5, offset: -3.0 }];
        let of_batch = |y: Option<&[f32]>| {
            either_way(GRADIENT, |g, out| backward_batch(g, &X, y, out, &lines(), &pulls))
        };
        // x̂ is 0.5, 2, −2, 0, so x̂ · slope + offset is 3, −2, −7, −3.
        assert_eq!(of_batch(None), [2.0 - 3.0, 12.0 + 2.0, 6.0 + 7.0, 24.0 + 3.0]);
        assert_eq!(of_batch(Some(&Y)), [2.0 - 3.0, 2.0, 7.0, 24.0 + 3.0]);
    }
}

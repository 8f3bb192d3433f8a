//! The arithmetic of both wings on contiguous slices. Every pass reads each value once and writes it at most once.

use super::sums::{GradientSums, Moments};
use crate::fused::geometry::Geometry;

/// The function that a wing applies to the values of one channel: `(x − mean) · scale + shift`.
///
/// The mean is subtracted first instead of being folded into the shift, which avoids cancellation where it is large.
/// Only the rounding error of the mean is folded into the shift.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) mean: f32,
    pub(super) scale: f32,
    pub(super) shift: f32,
    /// 1 / sqrt(variance + epsilon).
    pub(super) inv_std: f32,
    /// The mean minus its value in single precision.
    lost: f64,
}

impl Line {
    pub(super) fn new(mean: f64, variance: f64, gamma: f32, beta: f32, epsilon: f64) -> Self {
        let inv_std = 1.0 / (variance + epsilon).sqrt();
        let scale = f64::from(gamma) * inv_std;
        let lost = mean - f64::from(mean as f32);
        Self {
            mean: mean as f32,
            scale: scale as f32,
            shift: (f64::from(beta) - lost * scale) as f32,
            inv_std: inv_std as f32,
            lost,
        }
    }

    /// Gradients of gamma and beta.
    pub(super) fn affine_gradient(&self, sums: &GradientSums) -> [f32; 2] {
        [(self.distance(sums) * f64::from(self.inv_std)) as f32, sums.plain as f32]
    }

    /// Σ g · (x − mean), with the unrounded mean.
    fn distance(&self, sums: &GradientSums) -> f64 {
        sums.distance - self.lost * sums.plain
    }

    fn at(&self, x: f32) -> f32 {
        (x - self.mean) * self.scale + self.shift
    }

    /// The part of the gradient `g` that the activation passes on at the input `x`.
    fn gate<const RELU: bool>(&self, g: f32, x: f32) -> f32 {
        // As in PyTorch, the gradient at 0 is 0, and NaN passes it on.
        if RELU && self.at(x) <= 0.0 { 0.0 } else { g }
    }
}

/// The lines of both wings, one per channel, and the number of samples that the fixed wing takes.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    pub(super) first: usize,
    /// Empty if no sample goes through the wing.
    pub(super) fixed: Vec<Line>,
    /// Empty if no sample goes through the wing.
    pub(super) batch: Vec<Line>,
}

impl Lines {
    fn of(&self, plane: usize, geometry: &Geometry) -> &Line {
        let channel = geometry.channel(plane);
        if self.is_fixed(plane, geometry) { &self.fixed[channel] } else { &self.batch[channel] }
    }

    fn is_fixed(&self, plane: usize, geometry: &Geometry) -> bool {
        plane < self.first * geometry.channels
    }
}

/// Moments of every channel over the samples from `first` on.
pub(super) fn batch_moments(x: &[f32], geometry: &Geometry, first: usize) -> Vec<Moments> {
    let planes = geometry.map(first * geometry.channels, |plane| Moments::of(geometry.plane(x, plane)));
    per_channel(planes, geometry, Moments::NONE, Moments::merge)
}

fn per_channel<T: Copy>(planes: Vec<T>, geometry: &Geometry, none: T, merge: impl Fn(T, T) -> T) -> Vec<T> {
    let mut channels = vec![none; geometry.channels];
    for sample in planes.chunks(geometry.channels) {
        channels.iter_mut().zip(sample).for_each(|(channel, &plane)| *channel = merge(*channel, plane));
    }
    channels
}

pub(super) fn forward<const RELU: bool>(x: &[f32], geometry: &Geometry, lines: &Lines) -> Vec<f32> {
    geometry.produce(x, |plane| {
        let line = *lines.of(plane, geometry);
        move |x| activate::<RELU>(line.at(x))
    })
}

pub(super) fn forward_in_place<const RELU: bool>(x: &mut [f32], geometry: &Geometry, lines: &Lines) {
    geometry.for_each(x, |plane, x| {
        let line = *lines.of(plane, geometry);
        x.iter_mut().for_each(|x| *x = activate::<RELU>(line.at(*x)));
    });
}

#[inline(always)]
pub(super) fn activate<const RELU: bool>(y: f32) -> f32 {
    // This does not use `max`, which would turn NaN into 0.
    if RELU && y <= 0.0 { 0.0 } else { y }
}

/// Computes the sums that the gradients of one wing need, per channel.
pub(super) fn gradient_sums<const RELU: bool>(
    gradient: &[f32],
    x: &[f32],
    geometry: &Geometry,
    lines: &Lines,
    samples: std::ops::Range<usize>,
) -> Vec<GradientSums> {
    let wing = Geometry { samples: samples.end, ..*geometry };
    let planes = wing.map(samples.start * wing.channels, |plane| {
        let line = *lines.of(plane, geometry);
        GradientSums::of(geometry.plane(gradient, plane), geometry.plane(x, plane), line.mean, |g, x| {
            line.gate::<RELU>(g, x)
        })
    });
    per_channel(planes, geometry, GradientSums::NONE, GradientSums::merge)
}

/// The correction that batch statistics subtract from an input's gradient: `x̂ · slope + offset` for every channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pull {
    pub(super) slope: f32,
    pub(super) offset: f32,
}

impl Pull {
    /// Computes the correction from the sums over the `count` values of a channel.
    pub(super) fn new(line: &Line, sums: &GradientSums, count: usize) -> Self {
        let share = f64::from(line.scale) / count as f64;
        let inv_std = f64::from(line.inv_std);
        let slope = share * line.distance(sums) * inv_std;
        Self { slope: slope as f32, offset: (share * sums.plain - line.lost * inv_std * slope) as f32 }
    }
}

/// Replaces the output's gradient by the input's, in place.
///
/// `x` may be empty if neither ReLU nor batch statistics need it. `pulls` has one element per channel of the batch
/// wing.
pub(super) fn backward<const RELU: bool>(
    gradient: &mut [f32],
    x: &[f32],
    geometry: &Geometry,
    lines: &Lines,
    pulls: &[Pull],
) {
    geometry.for_each(gradient, |plane, gradient| {
        let line = *lines.of(plane, geometry);
        if lines.is_fixed(plane, geometry) {
            if RELU {
                for (g, &x) in gradient.iter_mut().zip(geometry.plane(x, plane)) {
                    *g = line.gate::<RELU>(*g, x) * line.scale;
                }
            } else {
                gradient.iter_mut().for_each(|g| *g *= line.scale);
            }
        } else {
            let pull = pulls[geometry.channel(plane)];
            for (g, &x) in gradient.iter_mut().zip(geometry.plane(x, plane)) {
                let normalised = (x - line.mean) * line.inv_std;
                *g = line.gate::<RELU>(*g, x) * line.scale - normalised * pull.slope - pull.offset;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry { samples: 2, channels: 1, space: 2 };

    fn lines() -> Lines {
        // Fixed: mean 1, variance 4, gamma 2, beta 3. Batch: mean 0, variance 1, gamma 1, beta −1.
        Lines {
            first: 1,
            fixed: vec![Line::new(1.0, 4.0, 2.0, 3.0, 0.0)],
            batch: vec![Line::new(0.0, 1.0, 1.0, -1.0, 0.0)],
        }
    }

    #[test]
    fn the_rounding_error_of_the_mean_is_taken_into_account() {
        // The nearest number in single precision is 2^24, so 1 is lost. 1 / sqrt(variance) is 2, and the scale 6.
        let line = Line::new(16_777_217.0, 0.25, 3.0, 5.0, 0.0);
        // (16777218 − 16777217) · 6 + 5.
        assert_eq!(line.at(16_777_218.0), 11.0);
        // The distances from 2^24 sum to 10, so those from the mean sum to 10 − 1 · 4.
        let sums = GradientSums { plain: 4.0, distance: 10.0 };
        assert_eq!(line.affine_gradient(&sums), [6.0 * 2.0, 4.0]);
        // x̂ · scale / n · Σ g · x̂ + scale / n · Σ g, with n = 8. For distances from 2^24, x̂ is larger by 1 · 2.
        let pull = Pull::new(&line, &sums, 8);
        assert_eq!([pull.slope, pull.offset], [0.75 * 12.0, 0.75 * 4.0 - 2.0 * 9.0]);
    }

    #[test]
    fn both_wings_forward() {
        let x = [1.0, 5.0, -1.0, 2.0];
        assert_eq!(forward::<false>(&x, &GEOMETRY, &lines()), [3.0, 7.0, -2.0, 1.0]);
        let mut in_place = x;
        forward_in_place::<true>(&mut in_place, &GEOMETRY, &lines());
        assert_eq!(in_place, [3.0, 7.0, 0.0, 1.0]);
    }

    #[test]
    fn both_wings_backward() {
        let x = [1.0, 5.0, -1.0, 1.0];
        let mut gradient = [1.0, 2.0, 3.0, 5.0];
        let sums = gradient_sums::<false>(&gradient, &x, &GEOMETRY, &lines(), 1..2);
        assert_eq!(sums, [GradientSums { plain: 8.0, distance: 2.0 }]);
        let pulls = [Pull::new(&lines().batch[0], &sums[0], 2)];
        backward::<false>(&mut gradient, &x, &GEOMETRY, &lines(), &pulls);
        // Two values at −1 and 1 determine mean and variance: nothing of the batch wing's gradient is left.
        assert_eq!(gradient, [1.0, 2.0, 0.0, 0.0]);
    }

    #[test]
    fn relu_closes_at_zero_and_passes_nan() {
        let line = lines().batch[0];
        assert_eq!(line.gate::<true>(1.0, 1.0), 0.0, "the output is exactly 0");
        assert_eq!(line.gate::<true>(1.0, 2.0), 1.0);
        assert_eq!(line.gate::<true>(1.0, f32::NAN), 1.0);
        assert!(activate::<true>(f32::NAN).is_nan());
    }
}

use super::pattern::bump;
use crate::l1_projection::project_l1;
use crate::{Draws, Norm, ThreatModel};

/// A square of an image, in all channels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Window {
    /// A square of this side, or as much of it as the image holds, anywhere in the image.
    pub(super) fn draw(side: usize, [_, height, width]: [usize; 3], draws: &mut Draws) -> Self {
        let (h, w) = (side.min(height), side.min(width));
        Self { top: draws.below(height - h + 1), left: draws.below(width - w + 1), height: h, width: w }
    }

    /// The places of the window's values in one channel of the image, row by row.
    pub(super) fn places(
        self,
        [_, height, width]: [usize; 3],
        channel: usize,
    ) -> impl Iterator<Item = usize> {
        let first = channel * height * width;
        (self.top..self.top + self.height).flat_map(move |row| {
            (self.left..self.left + self.width).map(move |column| first + row * width + column)
        })
    }
}

/// The first perturbation in Linf: vertical stripes of plus or minus epsilon in each channel.
pub(super) fn stripes(
    epsilon: f32,
    image: &[f32],
    [channels, height, width]: [usize; 3],
    draws: &mut Draws,
) -> Vec<f32> {
    let mut point = image.to_vec();
    for channel in 0..channels {
        for column in 0..width {
            let change = epsilon * draws.sign();
            for row in 0..height {
                let value = &mut point[(channel * height + row) * width + column];
                *value = (*value + change).clamp(0.0, 1.0);
            }
        }
    }
    point
}

/// The first perturbation in L2 and L1: the image tiled with bumps of random sign.
pub(super) fn tiles(threat: &ThreatModel, image: &[f32], shape: [usize; 3], draws: &mut Draws) -> Vec<f32> {
    let [channels, height, width] = shape;
    let side = (height / 5).max(1);
    let mut delta = vec![0.0; image.len()];
    for top in (0..height).step_by(side) {
        for left in (0..width).step_by(side) {
            let window = Window { top, left, height: side.min(height - top), width: side.min(width - left) };
            let tile = bump(window.height, window.width, draws);
            for channel in 0..channels {
                let sign = draws.sign();
                window.places(shape, channel).zip(&tile).for_each(|(i, t)| delta[i] = sign * t);
            }
        }
    }
    onto_ball(threat, image, &mut delta);
    delta
}

/// Moves all the weight of one square, and what of epsilon is unused, into another (Andriushchenko et al. 2020,
/// algorithm 3; in L1 Croce & Hein 2021).
pub(super) fn shift(
    threat: &ThreatModel,
    image: &[f32],
    best: &[f32],
    shape: [usize; 3],
    side: usize,
    draws: &mut Draws,
) -> Vec<f32> {
    let norm = threat.norm();
    let channels = shape[0];
    let mut delta: Vec<f32> = best.iter().zip(image).map(|(b, x)| b - x).collect();
    let to = Window::draw(side, shape, draws);
    let from = Window::draw(side, shape, draws);
    let weight = |values: &[f32]| match norm {
        Norm::L2 => norm.length(values.iter().copied()).powi(2),
        _ => norm.length(values.iter().copied()),
    };
    let all = if norm == Norm::L2 { threat.epsilon().powi(2) } else { threat.epsilon() };
    let unused = (all - weight(&delta)).max(0.0) / channels as f32;
    let pattern = bump(to.height, to.width, draws);
    let area = shape[1] * shape[2];
    for channel in 0..channels {
        let plane = channel * area..(channel + 1) * area;
        let before = weight(&delta[plane.clone()]);
        let old: Vec<f32> = to.places(shape, channel).map(|i| delta[i]).collect();
        from.places(shape, channel).chain(to.places(shape, channel)).for_each(|i| delta[i] = 0.0);
        let moved = (before - weight(&delta[plane])).max(0.0);
        let share = if norm == Norm::L2 { (unused + moved).sqrt() } else { unused + moved };
        let (length, sign) = (norm.length(old.iter().copied()) + 1e-12, draws.sign());
        let mixed: Vec<f32> = pattern.iter().zip(&old).map(|(p, o)| sign * p + o / length).collect();
        let scale = share / (norm.length(mixed.iter().copied()) + 1e-12);
        to.places(shape, channel).zip(mixed).for_each(|(i, m)| delta[i] = m * scale);
    }
    onto_ball(threat, image, &mut delta);
    delta
}

/// Turns a perturbation into a point: scaled to length epsilon and clipped in L2, projected onto ball and box in L1.
fn onto_ball(threat: &ThreatModel, image: &[f32], delta: &mut [f32]) {
    if threat.norm() == Norm::L1 {
        delta.iter_mut().zip(image).for_each(|(d, &x)| *d += x);
        // A little inside, so that rounding does not leave the ball.
        project_l1(image, delta, threat.epsilon() * (1.0 - 1e-6));
        return;
    }
    let scale = threat.epsilon() / (threat.norm().length(delta.iter().copied()) + 1e-12);
    delta.iter_mut().zip(image).for_each(|(d, &x)| *d = (x + *d * scale).clamp(0.0, 1.0));
}

//! The proposals and the starting point in L2 and L1.

use super::pattern::{Split, bump};
use super::window::{Window, signs};
use crate::draws::Draws;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// One bump of the starting point in L2 and L1.
pub(super) struct Tile {
    pub(super) window: Window,
    pub(super) split: Split,
    /// One for each channel.
    pub(super) signs: Vec<f32>,
}

/// Draws the tiles of the starting point. The side of a tile is a fifth of the image's height, and five tiles fit along
/// the height. The remainder of the division is split between the upper and the lower edge and left free. Along the
/// width, the tiles have the same positions, as far as there is room.
pub(super) fn draw_tiles([channels, height, width]: [usize; 3], draws: &mut Draws) -> Vec<Tile> {
    let side = (height / 5).max(1);
    let first = height.saturating_sub(5 * side) / 2;
    let places = |length: usize| (first..=length.saturating_sub(side)).step_by(side);
    let mut tiles = Vec::new();
    for top in places(height) {
        for left in places(width) {
            tiles.push(Tile {
                window: Window { top, left, height: side.min(height), width: side.min(width) },
                split: Split::draw(draws),
                signs: signs(channels, draws),
            });
        }
    }
    tiles
}

/// The starting point in L2 and L1.
pub(super) fn tiled(threat: &ThreatModel, image: &[f32], shape: [usize; 3], tiles: &[Tile]) -> Vec<f32> {
    let mut delta = vec![0.0; image.len()];
    for Tile { window, split, signs } in tiles {
        let pattern = bump(threat.norm(), window.height, window.width, *split);
        for (channel, sign) in signs.iter().enumerate() {
            window.places(shape, channel).zip(&pattern).for_each(|(i, p)| delta[i] = sign * p);
        }
    }
    onto_ball(threat, image, &mut delta);
    delta
}

/// A proposal in L2 and L1: the perturbation of the square `from`, together with the unused part of epsilon, moves to
/// the square `to`.
pub(super) struct Shift {
    pub(super) to: Window,
    pub(super) from: Window,
    pub(super) split: Split,
    /// One for each channel.
    pub(super) signs: Vec<f32>,
}

impl Shift {
    pub(super) fn draw(side: usize, shape: [usize; 3], draws: &mut Draws) -> Self {
        Self {
            to: Window::draw(side, shape, draws),
            from: Window::draw(side, shape, draws),
            split: Split::draw(draws),
            signs: signs(shape[0], draws),
        }
    }

    /// The proposed point (Andriushchenko et al. 2020, algorithm 3; in L1 the authors' code in AutoAttack).
    ///
    /// In each of the `c` channels, the new values `ν` of the square `to` have the direction of `± η + δ / ‖δ‖`, where
    /// `η` is the pattern and `δ` are the old values of the square. Their length follows from the budget:
    /// `‖ν‖₂² = (ε² - ‖δ_image‖₂²)₊ / c + ‖δ_squares‖₂²` in L2 and `‖ν‖₁ = (ε - ‖δ_image‖₁)₊ + c ‖δ_squares‖₁` in L1.
    /// The result is then scaled to length epsilon and clipped in L2, and projected onto ball and box in L1.
    pub(super) fn point(
        &self,
        threat: &ThreatModel,
        image: &[f32],
        best: &[f32],
        shape: [usize; 3],
    ) -> Vec<f32> {
        let norm = threat.norm();
        let channels = shape[0] as f32;
        let mut delta: Vec<f32> = best.iter().zip(image).map(|(b, x)| b - x).collect();
        // The budget adds up squares in L2 and absolute values in L1.
        let power = if norm == Norm::L1 { 1 } else { 2 };
        let spent = |length: f32| length.powi(power);
        let unused = (spent(threat.reach()) - spent(norm.length(delta.iter().copied()))).max(0.0);
        let pattern = bump(norm, self.to.height, self.to.width, self.split);
        for (channel, sign) in self.signs.iter().enumerate() {
            let old: Vec<f32> =
                self.to.places(shape, channel).map(|i| std::mem::take(&mut delta[i])).collect();
            // Values that lie in both squares are not counted again.
            let others = norm.length(self.from.places(shape, channel).map(|i| std::mem::take(&mut delta[i])));
            let length = norm.length(old.iter().copied());
            let budget = unused / channels + spent(length) + spent(others);
            let budget = if norm == Norm::L1 { budget * channels } else { budget.sqrt() };
            let mixed: Vec<f32> =
                pattern.iter().zip(&old).map(|(p, o)| sign * p + o / (length + 1e-12)).collect();
            let scale = budget / (norm.length(mixed.iter().copied()) + 1e-12);
            self.to.places(shape, channel).zip(mixed).for_each(|(i, m)| delta[i] = m * scale);
        }
        onto_ball(threat, image, &mut delta);
        delta
    }
}

/// Turns a perturbation into a point: scaled to length epsilon and clipped in L2, projected onto ball and box in L1.
fn onto_ball(threat: &ThreatModel, image: &[f32], delta: &mut [f32]) {
    if threat.norm() == Norm::L1 {
        delta.iter_mut().zip(image).for_each(|(d, &x)| *d += x);
        // Slightly inside, so that rounding does not leave the ball.
        threat.scaled(1.0 - 1e-6).project(image, delta);
        return;
    }
    let scale = threat.reach() / (threat.norm().length(delta.iter().copied()) + 1e-12);
    delta.iter_mut().zip(image).for_each(|(d, &x)| *d = (x + *d * scale).clamp(0.0, 1.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_where_the_reference_puts_them() {
        let tops = |shape: [usize; 3]| -> (Vec<usize>, usize) {
            let tiles = draw_tiles(shape, &mut Draws::new(0, 0, "test", 0));
            let mut tops: Vec<usize> = tiles.iter().map(|tile| tile.window.top).collect();
            let all_inside = |tile: &Tile| {
                tile.window.top + tile.window.height <= shape[1]
                    && tile.window.left + tile.window.width <= shape[2]
            };
            assert!(tiles.iter().all(all_inside));
            tops.dedup();
            (tops, tiles.len())
        };
        // s = h // 5, from (h - 5 s) // 2 on.
        assert_eq!(tops([1, 28, 28]), (vec![1, 6, 11, 16, 21], 25));
        assert_eq!(tops([3, 32, 32]), (vec![1, 7, 13, 19, 25], 25));
        assert_eq!(tops([3, 224, 224]), (vec![2, 46, 90, 134, 178], 25));
        // The reference divides by zero below five rows.
        assert_eq!(tops([1, 2, 3]), (vec![0, 1], 6));
    }
}

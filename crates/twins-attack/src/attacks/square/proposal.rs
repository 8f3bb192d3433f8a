use super::pattern::{Split, bump};
use crate::draws::Draws;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// A rectangle of an image, in all channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Window {
    /// A square of this side, or the largest one that the image holds, anywhere in the image.
    fn draw(side: usize, [_, height, width]: [usize; 3], draws: &mut Draws) -> Self {
        let side = side.min(height).min(width);
        let (top, left) = (draws.below(height - side + 1), draws.below(width - side + 1));
        Self { top, left, height: side, width: side }
    }

    /// The places of the window's values in one channel of the image, row by row.
    fn places(self, [_, height, width]: [usize; 3], channel: usize) -> impl Iterator<Item = usize> {
        let first = channel * height * width;
        (self.top..self.top + self.height).flat_map(move |row| {
            (self.left..self.left + self.width).map(move |column| first + row * width + column)
        })
    }
}

/// A sign for each channel, or for each of a row's values.
fn signs(count: usize, draws: &mut Draws) -> Vec<f32> {
    (0..count).map(|_| draws.sign()).collect()
}

/// A proposal in Linf: the square's values become those of the image plus or minus epsilon.
pub(super) struct Repaint {
    pub(super) window: Window,
    /// One for each channel.
    pub(super) signs: Vec<f32>,
}

impl Repaint {
    pub(super) fn draw(side: usize, shape: [usize; 3], draws: &mut Draws) -> Self {
        let window = Window::draw(side, shape, draws);
        Self { window, signs: signs(shape[0], draws) }
    }

    /// The places whose values the proposal sets, with those values.
    pub(super) fn values<'a>(
        &'a self,
        epsilon: f32,
        image: &'a [f32],
        shape: [usize; 3],
    ) -> impl Iterator<Item = (usize, f32)> + 'a {
        self.signs.iter().enumerate().flat_map(move |(channel, sign)| {
            let places = self.window.places(shape, channel);
            places.map(move |i| (i, (image[i] + epsilon * sign).clamp(0.0, 1.0)))
        })
    }
}

/// The first point in Linf: vertical stripes of plus or minus epsilon in each channel.
///
/// `signs` has one for each channel and column.
pub(super) fn stripes(
    epsilon: f32,
    image: &[f32],
    [channels, height, width]: [usize; 3],
    signs: &[f32],
) -> Vec<f32> {
    let mut point = image.to_vec();
    for channel in 0..channels {
        for (column, sign) in signs[channel * width..(channel + 1) * width].iter().enumerate() {
            for row in 0..height {
                let value = &mut point[(channel * height + row) * width + column];
                *value = (*value + epsilon * sign).clamp(0.0, 1.0);
            }
        }
    }
    point
}

/// Draws the signs of [`stripes`].
pub(super) fn draw_stripes([channels, _, width]: [usize; 3], draws: &mut Draws) -> Vec<f32> {
    signs(channels * width, draws)
}

/// One bump of the first point in L2 and L1.
pub(super) struct Tile {
    pub(super) window: Window,
    pub(super) split: Split,
    /// One for each channel.
    pub(super) signs: Vec<f32>,
}

/// Tiles of a fifth of the image's height, five along it; what the division leaves is divided between the upper and the
/// lower edge, and stays free. The same places are used along the width, as far as there is room.
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

/// The first point in L2 and L1.
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

/// A proposal in L2 and L1: the perturbation of the square `from`, and whatever of epsilon is unused, moves to the
/// square `to`.
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
    /// In each of `c` channels the new values `ν` of the square `to` point along `± η + δ / ‖δ‖`, with `η` the pattern and
    /// `δ` the old values there. Their length follows from the budget:
    /// `‖ν‖₂² = (ε² - ‖δ_image‖₂²)₊ / c + ‖δ_squares‖₂²` in L2 and `‖ν‖₁ = (ε - ‖δ_image‖₁)₊ + c ‖δ_squares‖₁` in L1. The
    /// result is then scaled to length epsilon and clipped in L2, and projected onto ball and box in L1.
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
        // What the budget adds up: squares in L2, absolute values in L1.
        let power = if norm == Norm::L1 { 1 } else { 2 };
        let spent = |length: f32| length.powi(power);
        let unused = (spent(threat.epsilon()) - spent(norm.length(delta.iter().copied()))).max(0.0);
        let pattern = bump(norm, self.to.height, self.to.width, self.split);
        for (channel, sign) in self.signs.iter().enumerate() {
            let old: Vec<f32> =
                self.to.places(shape, channel).map(|i| std::mem::take(&mut delta[i])).collect();
            // Without the values that the two squares share.
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
        // A little inside, so that rounding does not leave the ball.
        threat.scaled(1.0 - 1e-6).project(image, delta);
        return;
    }
    let scale = threat.epsilon() / (threat.norm().length(delta.iter().copied()) + 1e-12);
    delta.iter_mut().zip(image).for_each(|(d, &x)| *d = (x + *d * scale).clamp(0.0, 1.0));
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;
    use crate::attacks::square::config::SquareConfig;

    const SHAPE: [usize; 3] = [3, 15, 15];

    /// Proposals of the authors' code with prescribed draws (see `tests/golden/square/README.md`).
    struct Golden {
        bytes: Vec<u8>,
        case: String,
    }

    impl Golden {
        fn read(norm: Norm, size: &str) -> Self {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/square/square.safetensors");
            Self { bytes: std::fs::read(path).unwrap(), case: format!("{norm}_{size}") }
        }

        fn words(&self, name: &str) -> Vec<[u8; 4]> {
            let file = SafeTensors::deserialize(&self.bytes).unwrap();
            let view = file.tensor(&format!("{}.{name}", self.case)).unwrap();
            view.data().chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect()
        }

        fn values(&self, name: &str) -> Vec<f32> {
            self.words(name).into_iter().map(f32::from_le_bytes).collect()
        }

        fn indices(&self, name: &str) -> Vec<usize> {
            self.words(name).into_iter().map(|w| i32::from_le_bytes(w) as usize).collect()
        }

        fn splits(&self, name: &str) -> Vec<Split> {
            let split = |columns| if columns == 1 { Split::Columns } else { Split::Rows };
            self.indices(name).into_iter().map(split).collect()
        }

        /// Each query's best point so far, its side and places, and the expected proposal.
        fn queries(&self) -> impl Iterator<Item = (Vec<f32>, usize, Vec<usize>, Vec<f32>)> {
            let (points, sides, places) =
                (self.values("points"), self.indices("sides"), self.indices("places"));
            let accepted = self.indices("accepted");
            assert!(accepted.contains(&0) && accepted.contains(&1));
            let (row, per_query) = (points.len() / (sides.len() + 1), places.len() / sides.len());
            let point = move |call: usize| points[call * row..(call + 1) * row].to_vec();
            let mut best = point(0);
            (0..sides.len()).map(move |query| {
                let before = best.clone();
                let proposal = point(query + 1);
                if accepted[query] == 1 {
                    best.clone_from(&proposal);
                }
                (before, sides[query], places[query * per_query..][..per_query].to_vec(), proposal)
            })
        }
    }

    fn square(side: usize, places: &[usize]) -> Window {
        Window { top: places[0], left: places[1], height: side, width: side }
    }

    #[track_caller]
    fn close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
        let off = found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
        assert!(found.len() == expected.len() && off <= tolerance, "{what}: {off}");
    }

    #[test]
    fn linf_proposals_are_those_of_the_reference() {
        for size in ["large", "small"] {
            let golden = Golden::read(Norm::Linf, size);
            let (image, signs) = (golden.values("image"), golden.values("signs"));
            // One rounding: the reference adds 2 epsilon and clips, which ends at the same values.
            let tolerance = f32::EPSILON;
            let start = stripes(0.1, &image, SHAPE, &golden.values("start_signs"));
            close(&start, &golden.values("points")[..start.len()], tolerance, "start");
            for (query, (best, side, places, expected)) in golden.queries().enumerate() {
                let signs = signs[query * 3..query * 3 + 3].to_vec();
                let repaint = Repaint { window: square(side, &places), signs };
                let mut point = best;
                repaint.values(0.1, &image, SHAPE).for_each(|(i, value)| point[i] = value);
                close(&point, &expected, tolerance, &format!("{size}, query {query}"));
            }
        }
    }

    #[test]
    fn l2_and_l1_proposals_are_those_of_the_reference() {
        // L2: sums of 675 values in another order. L1: besides, the reference's projection adds up 1 350 sorted
        // values in single precision.
        for (norm, epsilon, tolerance) in [(Norm::L2, 2.0, 2e-6), (Norm::L1, 12.0, 1e-5)] {
            let threat = ThreatModel::new(norm, epsilon).unwrap();
            for size in ["large", "small"] {
                let golden = Golden::read(norm, size);
                let image = golden.values("image");
                let (splits, signs) = (golden.splits("start_columns"), golden.values("start_signs"));
                let mut tiles = draw_tiles(SHAPE, &mut Draws::new(0, 0, "test", 0));
                assert_eq!(tiles.len(), splits.len());
                for (place, tile) in tiles.iter_mut().enumerate() {
                    (tile.split, tile.signs) = (splits[place], signs[place * 3..place * 3 + 3].to_vec());
                }
                let start = tiled(&threat, &image, SHAPE, &tiles);
                close(&start, &golden.values("points")[..start.len()], tolerance, &format!("{norm} start"));

                let (splits, signs) = (golden.splits("columns"), golden.values("signs"));
                for (query, (best, side, places, expected)) in golden.queries().enumerate() {
                    let shift = Shift {
                        to: square(side, &places[..2]),
                        from: square(side, &places[2..]),
                        split: splits[query],
                        signs: signs[query * 3..query * 3 + 3].to_vec(),
                    };
                    let point = shift.point(&threat, &image, &best, SHAPE);
                    close(&point, &expected, tolerance, &format!("{norm} {size}, query {query}"));
                }
            }
        }
    }

    #[test]
    fn sides_are_those_of_the_reference() {
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            for (size, fraction) in [("large", 0.8), ("small", 0.1)] {
                let config =
                    SquareConfig::new(ThreatModel::new(norm, 1.0).unwrap()).with_first_fraction(fraction);
                let square = config.build().unwrap();
                for (query, side) in Golden::read(norm, size).indices("sides").into_iter().enumerate() {
                    assert_eq!(square.side(query, SHAPE), side, "{norm} {size}, query {query}");
                }
            }
        }
    }

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

    #[test]
    fn squares_reach_every_row_and_column() {
        let shape = [1, 5, 7];
        let mut draws = Draws::new(0, 0, "test", 0);
        let windows: Vec<Window> = (0..200).map(|_| Window::draw(3, shape, &mut draws)).collect();
        assert!(
            windows.iter().any(|w| w.top + w.height == 5) && windows.iter().any(|w| w.left + w.width == 7)
        );
        assert_eq!(Window::draw(9, shape, &mut draws).width, 5);
    }
}

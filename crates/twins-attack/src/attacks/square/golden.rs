//! Proposals and sides against the authors' code with prescribed draws (see `tests/golden/square/README.md`).

use safetensors::SafeTensors;

use super::config::SquareConfig;
use super::pattern::Split;
use super::repaint::{Repaint, stripes};
use super::shift::{Shift, draw_tiles, tiled};
use super::window::Window;
use crate::draws::Draws;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

const SHAPE: [usize; 3] = [3, 15, 15];

/// Proposals of the authors' code with prescribed draws (see `tests/golden/square/README.md`).
struct Golden {
    bytes: Vec<u8>,
    case: String,
}

impl Golden {
    fn read(norm: Norm, size: &str) -> Self {
        let path = "crates/twins-attack/tests/golden/square/square.safetensors";
        Self {
            bytes: std::fs::read(twins_testing::repository().join(path)).unwrap(),
            case: format!("{norm}_{size}"),
        }
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
        let (points, sides, places) = (self.values("points"), self.indices("sides"), self.indices("places"));
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

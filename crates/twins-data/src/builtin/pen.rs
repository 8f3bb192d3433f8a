use rand::{Rng, RngExt};

use crate::builtin::glyphs::{Glyph, Point, Stroke};

/// A round dab of ink between two points, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) from: Point,
    pub(super) to: Point,
    pub(super) radius: f32,
}

/// A number drawn uniformly from `-1..1`.
pub(super) fn signed(draw: &mut impl Rng) -> f32 {
    draw.random::<f32>() * 2.0 - 1.0
}

/// A number drawn uniformly from `low..high`.
pub(super) fn between(draw: &mut impl Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * draw.random::<f32>()
}

/// The random deformation of one handwritten symbol: unsteady points, then bending, then an affine map to pixels.
struct Hand {
    bend: [f32; 4],
    matrix: [f32; 4],
    centre: Point,
}

impl Hand {
    fn new(draw: &mut impl Rng, size: f32) -> Self {
        // Half-angle tangents give rotations without trigonometric functions, whose last bits differ between
        // platforms: 0.16 is 18.2 degrees.
        let tangent = 0.16 * signed(draw);
        let norm = 1.0 + tangent * tangent;
        let (cosine, sine) = ((1.0 - tangent * tangent) / norm, 2.0 * tangent / norm);
        let height = size * between(draw, 0.25, 0.41);
        let width = height * between(draw, 0.8, 1.3);
        let shear = 0.3 * signed(draw);
        // Rotation · shear · scale.
        let matrix = [
            cosine * width,
            (cosine * shear - sine) * height,
            sine * width,
            (sine * shear + cosine) * height,
        ];
        let reach = 0.5 * size - height;
        let offset = |draw: &mut _| 0.5 * size + 0.75 * reach.max(1.0) * signed(draw);
        let centre = (offset(draw), offset(draw));
        let bend = [0.12, 0.12, 0.18, 0.18].map(|strength| strength * signed(draw));
        Self { bend, matrix, centre }
    }

    fn place(&self, (x, y): Point) -> Point {
        let [bend_x, bend_y, taper_x, taper_y] = self.bend;
        let (x, y) =
            (x + bend_x * (y * y - 0.4) + taper_x * x * y, y + bend_y * (x * x - 0.1) + taper_y * x * y);
        let [xx, xy, yx, yy] = self.matrix;
        (self.centre.0 + xx * x + xy * y, self.centre.1 + yx * x + yy * y)
    }
}

/// Writes a symbol on a square of `size` pixels.
pub(super) fn write(glyph: Glyph, size: f32, draw: &mut impl Rng) -> Vec<Segment> {
    const UNSTEADINESS: f32 = 0.09;
    const DRIFT: f32 = 0.05;
    let hand = Hand::new(draw, size);
    let radius = between(draw, 0.025, 0.05) * size;
    let mut segments = Vec::with_capacity(64);
    for stroke in glyph {
        let drift = (DRIFT * signed(draw), DRIFT * signed(draw));
        let mut unsteady = |points: &[Point]| -> Vec<Point> {
            points
                .iter()
                .map(|&(x, y)| {
                    let (jitter_x, jitter_y) = (UNSTEADINESS * signed(draw), UNSTEADINESS * signed(draw));
                    (x + drift.0 + jitter_x, y + drift.1 + jitter_y)
                })
                .collect()
        };
        let path = match stroke {
            // A little curvature, because hand-drawn lines are not straight.
            Stroke::Line(points) => {
                let points = unsteady(points);
                let mut path = Vec::with_capacity(4 * points.len());
                for pair in points.windows(2) {
                    let bow = 0.06 * signed(draw);
                    flatten_bow(pair[0], pair[1], bow, &mut path);
                }
                path
            }
            Stroke::Curve(points) => flatten_spline(&unsteady(points)),
        };
        // Pressure changes linearly along the stroke.
        let (start, end) = (between(draw, 0.8, 1.2), between(draw, 0.7, 1.15));
        let last = (path.len() - 1) as f32;
        let placed: Vec<Point> = path.into_iter().map(|point| hand.place(point)).collect();
        segments.extend(placed.windows(2).enumerate().map(|(index, pair)| {
            let along = (index as f32 + 0.5) / last;
            Segment { from: pair[0], to: pair[1], radius: radius * (start + (end - start) * along) }
        }));
    }
    segments
}

/// A line whose middle is displaced sideways by `bow` times its length.
fn flatten_bow(from: Point, to: Point, bow: f32, path: &mut Vec<Point>) {
    const STEPS: usize = 3;
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    for step in 0..=STEPS {
        let t = step as f32 / STEPS as f32;
        let side = 4.0 * bow * t * (1.0 - t);
        path.push((from.0 + t * dx - side * dy, from.1 + t * dy + side * dx));
    }
}

/// A uniform Catmull-Rom spline through the points (E. Catmull, R. Rom, 1974); the end points are repeated so that it
/// reaches them.
fn flatten_spline(points: &[Point]) -> Vec<Point> {
    const STEPS: usize = 4;
    let at = |index: isize| points[index.clamp(0, points.len() as isize - 1) as usize];
    let mut path = Vec::with_capacity(STEPS * points.len());
    for span in 0..points.len() as isize - 1 {
        let [p0, p1, p2, p3] = [at(span - 1), at(span), at(span + 1), at(span + 2)];
        for step in 0..STEPS {
            let t = step as f32 / STEPS as f32;
            let blend = |a: f32, b: f32, c: f32, d: f32| {
                let quadratic = 2.0 * a - 5.0 * b + 4.0 * c - d;
                let cubic = 3.0 * b - a - 3.0 * c + d;
                0.5 * (2.0 * b + t * (c - a + t * (quadratic + t * cubic)))
            };
            path.push((blend(p0.0, p1.0, p2.0, p3.0), blend(p0.1, p1.1, p2.1, p3.1)));
        }
    }
    path.push(points[points.len() - 1]);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spline_goes_through_its_points() {
        let points = [(0.0, 0.0), (1.0, 2.0), (3.0, 1.0)];
        let path = flatten_spline(&points);
        assert_eq!(path.len(), 9);
        assert_eq!([path[0], path[4], path[8]], points);
        // Half-way through the first span: (-p0 + 9 p1 + 9 p2 - p3) / 16 with p0 = p1 = (0, 0).
        assert_eq!(path[2], (6.0 / 16.0, 17.0 / 16.0));
    }

    #[test]
    fn a_bow_keeps_its_ends() {
        let mut path = Vec::new();
        flatten_bow((0.0, 0.0), (3.0, 0.0), 0.1, &mut path);
        assert_eq!([path[0], path[3]], [(0.0, 0.0), (3.0, 0.0)]);
        // 4 · 0.1 · 1/3 · 2/3 · 3, up to rounding of float32.
        assert!((path[1].1 - 0.8 / 3.0).abs() < 1e-6);
    }
}

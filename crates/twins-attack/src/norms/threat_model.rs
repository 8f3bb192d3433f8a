use std::fmt;

use serde::{Deserialize, Serialize};

use crate::draws::Draws;
use crate::error::AttackError;
use crate::norms::l1_projection::project_l1;
use crate::norms::length::Length;
use crate::norms::norm::Norm;

/// The perturbations that an attacker may make: a ball of radius epsilon around the clean image, within the box
/// [0, 1] of images: `{ z : ‖z - x‖ ≤ ε, 0 ≤ z ≤ 1 }`.
///
/// Epsilon is on the scale of the pixels, [0, 1]; the published 8/255 is written `8.0 / 255.0`, or read from a text as a
/// [`Length`].
///
/// Images are slices of one sample's values: attacks keep the state of each sample on the host, where it costs
/// little next to the model and does not depend on the rest of the batch.
///
/// ```
/// use twins_attack::{Norm, ThreatModel};
/// let threat = ThreatModel::new(Norm::Linf, 0.1)?;
/// let mut point = [0.9, 0.0];
/// threat.project(&[0.5, 0.05], &mut point);
/// assert_eq!(point, [0.6, 0.0]);
/// assert_eq!(ThreatModel::new(Norm::Linf, 8.0 / 255.0)?.to_string(), "Linf 8/255");
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct ThreatModel {
    norm: Norm,
    epsilon: f32,
}

/// A threat model as a file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    norm: Norm,
    epsilon: Length,
}

impl TryFrom<Unchecked> for ThreatModel {
    type Error = AttackError;

    fn try_from(Unchecked { norm, epsilon }: Unchecked) -> Result<Self, AttackError> {
        Self::new(norm, epsilon.value() as f32)
    }
}

/// Norm and radius, such as `Linf 8/255`.
impl fmt::Display for ThreatModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.norm.symbol(), Length::from(self.epsilon)))
    }
}

impl ThreatModel {
    /// A ball of radius `epsilon`.
    ///
    /// # Errors
    /// [`AttackError::Epsilon`] if `epsilon` is negative, infinite or not a number; [`AttackError::LinfEpsilon`] if it is
    /// above 1 in Linf, where a radius of 1 already allows every image. Zero is allowed: its only point is the clean
    /// image.
    pub fn new(norm: Norm, epsilon: f32) -> Result<Self, AttackError> {
        if !epsilon.is_finite() || epsilon < 0.0 {
            return Err(AttackError::Epsilon { epsilon });
        }
        if norm == Norm::Linf && epsilon > 1.0 {
            return Err(AttackError::LinfEpsilon { epsilon });
        }
        Ok(Self { norm, epsilon })
    }

    /// The norm.
    pub fn norm(&self) -> Norm {
        self.norm
    }

    /// The radius.
    pub fn epsilon(&self) -> f32 {
        self.epsilon
    }

    /// The same norm with another radius (which the callers in this crate derive from a valid one).
    pub(crate) fn scaled(&self, factor: f32) -> Self {
        Self { epsilon: self.epsilon * factor, ..*self }
    }

    /// Length of the perturbation `‖point - origin‖`.
    pub fn distance(&self, origin: &[f32], point: &[f32]) -> f32 {
        self.norm.length(point.iter().zip(origin).map(|(p, x)| p - x))
    }

    /// Moves the point into the ball and the box.
    ///
    /// Linf: the nearest point. L2: scaled onto the ball, then clipped to the box, as the published attacks do. L1: the
    /// nearest point of the intersection (Croce & Hein 2021, arXiv 2103.01208), because clipping after an L1
    /// projection wastes most of the radius.
    ///
    /// # Panics
    /// Panics if the slices differ in length.
    pub fn project(&self, origin: &[f32], point: &mut [f32]) {
        assert_eq!(origin.len(), point.len(), "the point must have as many values as the clean image");
        match self.norm {
            Norm::Linf => {
                for (p, &x) in point.iter_mut().zip(origin) {
                    *p = p.max(x - self.epsilon).min(x + self.epsilon).clamp(0.0, 1.0);
                }
            }
            Norm::L2 => {
                let length = self.distance(origin, point);
                let scale = if length > self.epsilon { self.epsilon / length } else { 1.0 };
                for (p, &x) in point.iter_mut().zip(origin) {
                    // Inside the ball the values stay bit-identical.
                    let inside = if scale < 1.0 { x + (*p - x) * scale } else { *p };
                    *p = inside.clamp(0.0, 1.0);
                }
            }
            Norm::L1 => project_l1(origin, point, self.epsilon),
        }
    }

    /// A point drawn uniformly from the ball, clipped to the box.
    pub fn random_start(&self, origin: &[f32], draws: &mut Draws) -> Vec<f32> {
        let dimension = origin.len() as f32;
        let (mut offset, length): (Vec<f32>, f32) = match self.norm {
            Norm::Linf => ((0..origin.len()).map(|_| draws.symmetric()).collect(), 1.0),
            Norm::L2 => {
                let offset: Vec<f32> = (0..origin.len()).map(|_| draws.gaussian()).collect();
                let length =
                    Norm::L2.length(offset.iter().copied()) / draws.uniform().powf(dimension.recip());
                (offset, length)
            }
            Norm::L1 => {
                // Laplace values over their sum and one more exponential are uniform in the ball.
                let offset: Vec<f32> =
                    (0..origin.len()).map(|_| draws.sign() * draws.exponential()).collect();
                let length = Norm::L1.length(offset.iter().copied()) + draws.exponential();
                (offset, length)
            }
        };
        let scale = if length > 0.0 { self.epsilon / length } else { 0.0 };
        offset.iter_mut().zip(origin).for_each(|(o, &x)| *o = (x + *o * scale).clamp(0.0, 1.0));
        offset
    }

    /// Writes the direction of steepest ascent of length one: Linf `sign(g)` with `sign(0) = 0`, L2
    /// `g / (‖g‖₂ + 1e-12)`, L1 `sign(g)` on the values with the `l1_support` largest `|g|` (ties included), divided
    /// by their number.
    ///
    /// # Panics
    /// Panics if the slices differ in length.
    pub fn steepest(&self, gradient: &[f32], l1_support: usize, direction: &mut [f32]) {
        assert_eq!(gradient.len(), direction.len(), "gradient and direction must be of one length");
        match self.norm {
            Norm::Linf => direction.iter_mut().zip(gradient).for_each(|(d, &g)| *d = sign(g)),
            Norm::L2 => {
                let length = Norm::L2.length(gradient.iter().copied()) + 1e-12;
                direction.iter_mut().zip(gradient).for_each(|(d, &g)| *d = g / length);
            }
            Norm::L1 => {
                let threshold = largest_magnitude(gradient, l1_support);
                for (d, &g) in direction.iter_mut().zip(gradient) {
                    *d = if g.abs() >= threshold { sign(g) } else { 0.0 };
                }
                let support = direction.iter().filter(|d| **d != 0.0).count() as f32;
                direction.iter_mut().for_each(|d| *d /= support + 1e-10);
            }
        }
    }
}

/// The sign, with `sign(0) = 0` (Rust's `signum` gives one).
pub(crate) fn sign(value: f32) -> f32 {
    if value == 0.0 { 0.0 } else { value.signum() }
}

/// The `rank`-th largest magnitude, 1 being the largest.
fn largest_magnitude(values: &[f32], rank: usize) -> f32 {
    let mut magnitudes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
    let place = magnitudes.len() - rank.clamp(1, magnitudes.len());
    *magnitudes.select_nth_unstable_by(place, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hand_computed_projections() {
        let linf = ThreatModel::new(Norm::Linf, 0.25).unwrap();
        let mut point = [1.5, -0.5, 0.5];
        linf.project(&[0.5, 0.125, 0.5], &mut point);
        assert_eq!(point, [0.75, 0.0, 0.5]);

        let l2 = ThreatModel::new(Norm::L2, 0.25).unwrap();
        let mut point = [0.5 + 0.3, 0.5 - 0.4];
        l2.project(&[0.5, 0.5], &mut point);
        // (0.3, -0.4) has length 0.5 and is halved; one rounding of f32.
        assert!((point[0] - 0.65).abs() < 1e-6 && (point[1] - 0.3).abs() < 1e-6);
    }

    #[test]
    fn hand_computed_directions() {
        let mut direction = [0.0; 4];
        let gradient = [3.0, 0.0, -4.0, 0.5];
        let steepest = |norm, direction: &mut [f32]| {
            ThreatModel::new(norm, 1.0).unwrap().steepest(&gradient, 2, direction)
        };
        steepest(Norm::Linf, &mut direction);
        assert_eq!(direction, [1.0, 0.0, -1.0, 1.0]);
        steepest(Norm::L2, &mut direction);
        let length = 25.25_f32.sqrt();
        for (d, g) in direction.iter().zip(gradient) {
            assert!((d - g / length).abs() < 1e-6);
        }
        steepest(Norm::L1, &mut direction);
        assert_eq!(direction, [0.5, 0.0, -0.5, 0.0]);
    }

    #[test]
    fn a_zero_gradient_gives_no_direction() {
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            let mut direction = [1.0; 3];
            ThreatModel::new(norm, 1.0).unwrap().steepest(&[0.0; 3], 1, &mut direction);
            assert_eq!(direction, [0.0; 3]);
        }
    }

    #[test]
    fn wrong_radii_are_refused() {
        for epsilon in [-0.1, f32::NAN, f32::INFINITY] {
            let error = ThreatModel::new(Norm::L2, epsilon).unwrap_err().to_string();
            assert!(error.contains(&epsilon.to_string()), "{error}");
        }
        let error = serde_json::from_str::<ThreatModel>(r#"{"norm": "l2", "epsilon": -0.1}"#).unwrap_err();
        assert!(error.to_string().contains("-0.1"), "{error}");
    }

    #[test]
    fn files_and_texts_for_people() {
        let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0).unwrap();
        let read = |text: &str| serde_json::from_str::<ThreatModel>(text).unwrap();
        assert_eq!(read(r#"{"norm": "linf", "epsilon": "8/255"}"#), threat);
        assert_eq!(read(&serde_json::to_string(&threat).unwrap()), threat);
        assert_eq!(ThreatModel::new(Norm::L2, 0.5).unwrap().to_string(), "L2 0.5");
        assert_eq!(format!("{threat:>12}"), "  Linf 8/255");
    }

    #[test]
    fn a_linf_radius_in_levels_of_255_is_refused() {
        for (epsilon, part) in
            [(8.0, "did you mean 8/255?"), (1.5, "did you mean 1.5/255?"), (300.0, "such as 8/255")]
        {
            let error = ThreatModel::new(Norm::Linf, epsilon).unwrap_err().to_string();
            let begin = format!("epsilon {epsilon} is above 1: images are in [0, 1]; ");
            assert!(error.starts_with(&begin) && error.ends_with(part), "{error}");
            ThreatModel::new(Norm::L2, epsilon).unwrap();
            ThreatModel::new(Norm::L1, epsilon).unwrap();
        }
        ThreatModel::new(Norm::Linf, 1.0).unwrap();
        let error = serde_json::from_str::<ThreatModel>(r#"{"norm": "linf", "epsilon": 8}"#).unwrap_err();
        assert!(error.to_string().contains("did you mean 8/255?"), "{error}");
    }

    /// Radii that make sense, up to several times the box.
    fn threats() -> impl Strategy<Value = ThreatModel> {
        (prop_oneof![Just(Norm::Linf), Just(Norm::L2), Just(Norm::L1)], 0.0f32..4.0).prop_map(
            |(norm, epsilon)| {
                let epsilon = if norm == Norm::Linf { epsilon / 4.0 } else { epsilon };
                ThreatModel::new(norm, epsilon).unwrap()
            },
        )
    }

    /// As files hold it: what is written reads back as the same value of f32, as text and as a JSON value.
    fn survives_json(threat: ThreatModel) -> bool {
        let text = serde_json::to_string(&threat).unwrap();
        let value = serde_json::to_value(threat).unwrap();
        serde_json::from_str::<ThreatModel>(&text).unwrap() == threat
            && serde_json::from_value::<ThreatModel>(value).unwrap() == threat
    }

    #[test]
    fn fractions_of_255_survive_json() {
        for levels in 0..=255_u8 {
            let threat = ThreatModel::new(Norm::Linf, f32::from(levels) / 255.0).unwrap();
            assert!(survives_json(threat), "{threat:?}");
        }
    }

    proptest! {
        #[test]
        fn every_radius_survives_json(epsilon in prop::num::f32::POSITIVE | prop::num::f32::ZERO) {
            prop_assert!(survives_json(ThreatModel::new(Norm::L2, epsilon).unwrap()));
        }

        #[test]
        fn projection_lands_inside_twice_the_same_and_keeps_what_is_inside(
            threat in threats(),
            case in (1usize..40).prop_flat_map(|d| (
                prop::collection::vec(0.0f32..=1.0, d), prop::collection::vec(-2.0f32..3.0, d),
            )),
        ) {
            let (origin, mut point) = case;
            let (norm, epsilon) = (threat.norm(), threat.epsilon());
            let before = point.clone();
            threat.project(&origin, &mut point);
            // One rounding of f32 per value.
            let slack = if norm == Norm::Linf { 1e-7 } else { 1e-6 * (1.0 + epsilon) };
            prop_assert!(threat.distance(&origin, &point) <= epsilon + slack);
            prop_assert!(point.iter().all(|p| (0.0..=1.0).contains(p)));
            let once = point.clone();
            threat.project(&origin, &mut point);
            for (a, b) in once.iter().zip(&point) {
                prop_assert!((a - b).abs() <= 1e-6, "{a} {b}");
            }
            if threat.distance(&origin, &before) < epsilon && before.iter().all(|p| (0.0..=1.0).contains(p)) {
                prop_assert_eq!(before, once);
            }
        }

        #[test]
        fn random_starts_lie_inside(threat in threats(), seed: u64, origin in prop::collection::vec(0.0f32..=1.0, 1..40)) {
            let epsilon = threat.epsilon();
            let start = threat.random_start(&origin, &mut Draws::new(seed, 0, "test", 0));
            prop_assert!(threat.distance(&origin, &start) <= epsilon * (1.0 + 1e-6) + 1e-6);
            prop_assert!(start.iter().all(|p| (0.0..=1.0).contains(p)));
        }
    }
}

use std::fmt;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::draws::Draws;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::length::Length;
use crate::norms::norm::Norm;

/// The perturbations that an attacker may make: a ball of radius epsilon around the clean image, restricted to the box
/// [0, 1] of images, `{ z : ‖z - x‖ ≤ ε, 0 ≤ z ≤ 1 }`.
///
/// Epsilon is on the scale of the pixels, [0, 1]. The published 8/255 is written as `8.0 / 255.0`, or read from a text
/// as a [`Length`]. In L0, epsilon is the number of values of an image that may change, where each channel of a pixel
/// counts separately.
///
/// An image is a slice of the values of one sample. Attacks keep the state of each sample on the host, where it is
/// cheap compared with the model and does not depend on the rest of the batch.
///
/// ```
/// use twins_attack::{Norm, ThreatModel};
/// let threat = ThreatModel::new(Norm::Linf, 0.1)?;
/// let mut point = [0.9, 0.0];
/// threat.project(&[0.5, 0.05], &mut point);
/// assert_eq!(point, [0.6, 0.0]);
/// assert_eq!(ThreatModel::new(Norm::Linf, 8.0 / 255.0)?.to_string(), "Linf 8/255");
///
/// let sparse = ThreatModel::new(Norm::L0, 1.0)?;
/// let mut point = [0.9, 0.25];
/// sparse.project(&[0.5, 0.05], &mut point);
/// assert_eq!(point, [0.9, 0.05]);
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(!try_from))]
#[serde(try_from = "Unchecked")]
pub struct ThreatModel {
    /// The norm that bounds the perturbation.
    norm: Norm,
    /// The radius, on the [0, 1] scale; in L0, the number of values that may change.
    epsilon: f32,
}

/// A radius that allows every image in every norm: no image has more values, and each moves by at most 1.
const REACH: f32 = 1e9;

/// A threat model as it appears in a file.
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

/// Writes the norm and the radius, such as `Linf 8/255`.
impl fmt::Display for ThreatModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.norm.symbol(), Length::from(self.epsilon)))
    }
}

impl ThreatModel {
    /// Creates a threat model with a ball of radius `epsilon`.
    ///
    /// # Errors
    /// [`SettingError::Epsilon`] if `epsilon` is negative, infinite or not a number; [`SettingError::LinfEpsilon`] if
    /// it is above 1 in Linf, where a radius of 1 already allows every image; [`SettingError::L0Epsilon`] if it is not
    /// a whole number in L0. Zero is valid and allows only the clean image. In L2, L1 and L0, a radius of 1e9 or more
    /// allows every image.
    ///
    /// A radius below the distance between neighbouring values of `f32` (6e-8 at a pixel of 1) allows changes only
    /// where pixels are close to 0.
    pub fn new(norm: Norm, epsilon: f32) -> Result<Self, AttackError> {
        if !epsilon.is_finite() || epsilon < 0.0 {
            return Err(SettingError::Epsilon { epsilon }.into());
        }
        norm.geometry().check_epsilon(epsilon)?;
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

    /// The radius to compute with: epsilon, but at most [`REACH`], beyond which products and squares of the radius
    /// overflow.
    pub(crate) fn reach(&self) -> f32 {
        self.epsilon.min(REACH)
    }

    /// The same norm with its radius multiplied by a factor. The callers in this crate keep the radius valid.
    pub(crate) fn scaled(&self, factor: f32) -> Self {
        Self { epsilon: self.reach() * factor, ..*self }
    }

    /// Draws noise for this many values, without a preferred direction: uniform in
    /// [-1, 1) in Linf, normal in the other norms.
    pub(crate) fn noise(&self, values: usize, draws: &mut Draws) -> Vec<f32> {
        (0..values).map(|_| self.norm.geometry().noise(draws)).collect()
    }

    /// Computes the length of the perturbation, `‖point - origin‖`.
    pub fn distance(&self, origin: &[f32], point: &[f32]) -> f32 {
        self.norm.length(point.iter().zip(origin).map(|(p, x)| p - x))
    }

    /// Moves the point into the ball and the box.
    ///
    /// | norm | result |
    /// |---|---|
    /// | Linf | the nearest point |
    /// | L2 | scaled onto the ball, then clipped to the box, as the published attacks do |
    /// | L1 | the nearest point (Croce & Hein 2021, arXiv 2103.01208): clipping after an L1 projection wastes most of the radius |
    /// | L0 | the nearest point (Croce & Hein 2019, arXiv 1909.05040): epsilon values move, the others are those of the image |
    ///
    /// # Panics
    /// Panics if the slices differ in length.
    pub fn project(&self, origin: &[f32], point: &mut [f32]) {
        assert_eq!(origin.len(), point.len(), "the point must have as many values as the clean image");
        self.norm.geometry().project(origin, point, self.reach());
    }

    /// As [`ThreatModel::project`], for each image of a batch on its device. In Linf and L2, nothing is read back.
    pub(crate) fn project_batch(
        &self,
        images: &Tensor<4>,
        points: Tensor<4>,
    ) -> Result<Tensor<4>, AttackError> {
        self.norm.geometry().project_batch(images, points, self.reach())
    }

    /// Draws a point uniformly from the ball and clips it to the box. In L0, the point is drawn uniformly from ball and
    /// box.
    pub fn random_start(&self, origin: &[f32], draws: &mut Draws) -> Vec<f32> {
        self.norm.geometry().random_start(origin, self.reach(), draws)
    }

    /// Draws the offset that a random start adds to a point before it is clipped to the box; `None` in L0, where the
    /// offset depends on the point.
    pub(crate) fn random_offset(&self, values: usize, draws: &mut Draws) -> Option<Vec<f32>> {
        self.norm.geometry().random_offset(values, self.reach(), draws)
    }

    /// Writes the direction of steepest ascent, scaled to length one.
    ///
    /// | norm | direction |
    /// |---|---|
    /// | Linf | `sign(g)`, with `sign(0) = 0` |
    /// | L2 | `g / (‖g‖₂ + 1e-12)` |
    /// | L1 | `sign(g)` on the values with the `support` largest `abs(g)` (ties included), divided by their number |
    /// | L0 | `g / (‖g‖₁ + 1e-10)`, of length one in L1: a length in L0 does not bound a step (Croce & Hein 2019) |
    ///
    /// The other norms ignore `support`.
    ///
    /// # Panics
    /// Panics if the slices differ in length.
    pub fn steepest(&self, gradient: &[f32], support: usize, direction: &mut [f32]) {
        assert_eq!(gradient.len(), direction.len(), "gradient and direction must be of one length");
        self.norm.geometry().steepest(gradient, support, direction);
    }

    /// As [`ThreatModel::steepest`], for each image of a batch on its device. In Linf and L2, nothing is read back.
    pub(crate) fn steepest_batch(
        &self,
        gradient: Tensor<4>,
        support: usize,
    ) -> Result<Tensor<4>, AttackError> {
        self.norm.geometry().steepest_batch(gradient, support)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        assert_eq!(ThreatModel::new(Norm::L0, 24.0).unwrap().to_string(), "L0 24");
        assert_eq!(read(r#"{"norm": "l0", "epsilon": 24}"#), ThreatModel::new(Norm::L0, 24.0).unwrap());
        assert_eq!(format!("{threat:>12}"), "  Linf 8/255");
    }

    #[test]
    fn each_norm_has_its_own_range_of_radii() {
        for norm in [Norm::L2, Norm::L1, Norm::L0] {
            ThreatModel::new(norm, 8.0).unwrap();
        }
        let read = |text: &str| serde_json::from_str::<ThreatModel>(text).map_err(|error| error.to_string());
        let error = read(r#"{"norm": "linf", "epsilon": 8}"#).unwrap_err();
        assert!(error.contains("did you mean 8/255?"), "{error}");
        let error = read(r#"{"norm": "l0", "epsilon": "8/255"}"#).unwrap_err();
        assert!(error.contains("how many values"), "{error}");
    }

    #[test]
    fn a_scaled_radius_stays_finite() {
        let threat = |epsilon| ThreatModel::new(Norm::L1, epsilon).unwrap();
        assert_eq!(threat(0.5).scaled(3.0), threat(1.5));
        assert!(threat(f32::MAX).scaled(3.0).epsilon().is_finite());
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
    }
}

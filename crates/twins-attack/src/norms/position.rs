use crate::norms::threat_model::ThreatModel;

/// The reason why a point is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outside {
    Box,
    Ball,
}

impl ThreatModel {
    /// Returns whether the point lies in the box (exactly) and in the ball (up to rounding). The tolerance for rounding
    /// is 1e-6 in Linf, `1e-4 · epsilon` in L2 and L1, and zero in L0. A claimed adversarial example must meet this
    /// condition.
    ///
    /// ```
    /// use twins_attack::{Norm, ThreatModel};
    /// let threat = ThreatModel::new(Norm::Linf, 0.1)?;
    /// assert!(threat.contains(&[0.5, 0.95], &[0.6, 1.0]));
    /// assert!(!threat.contains(&[0.5, 0.95], &[0.61, 1.0]) && !threat.contains(&[0.5, 0.95], &[0.5, 1.01]));
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    pub fn contains(&self, origin: &[f32], point: &[f32]) -> bool {
        self.check_position(origin, point).is_ok()
    }

    /// As [`ThreatModel::contains`], but the error says what the point violates.
    pub(crate) fn check_position(&self, origin: &[f32], point: &[f32]) -> Result<(), Outside> {
        // No tolerance is needed, because clamping is exact. NaN lies in no range.
        if origin.len() != point.len() || !point.iter().all(|p| (0.0..=1.0).contains(p)) {
            return Err(Outside::Box);
        }
        if self.allows_distance(self.distance(origin, point)) { Ok(()) } else { Err(Outside::Ball) }
    }

    /// Returns whether the ball contains points of the box at this distance from the clean image, up to the same
    /// rounding.
    pub(crate) fn allows_distance(&self, distance: f32) -> bool {
        distance <= self.epsilon() + self.norm().geometry().tolerance(self.epsilon())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::norms::norm::Norm;

    #[test]
    fn positions_are_checked_with_the_documented_tolerances() {
        let image = [0.5, 0.95];
        let check = |norm, epsilon, point: [f32; 2]| {
            ThreatModel::new(norm, epsilon).unwrap().check_position(&image, &point)
        };
        assert_eq!(check(Norm::Linf, 0.1, [0.6, 0.85]), Ok(()));
        assert_eq!(check(Norm::Linf, 0.1, [0.6 + 0.5e-6, 0.95]), Ok(()));
        assert_eq!(check(Norm::Linf, 0.1, [0.6 + 2e-6, 0.95]), Err(Outside::Ball));
        // Lengths 1 and 1.4 times 0.1; the second coordinate alone would be allowed.
        assert_eq!(check(Norm::L2, 0.1, [0.56, 0.87]), Ok(()));
        assert_eq!(check(Norm::L2, 0.1, [0.6, 0.85]), Err(Outside::Ball));
        assert_eq!(check(Norm::L2, 0.1, [0.6 + 0.5e-5, 0.95]), Ok(()));
        assert_eq!(check(Norm::L2, 0.1, [0.6 + 2e-5, 0.95]), Err(Outside::Ball));
        assert_eq!(check(Norm::L1, 0.1, [0.55, 0.9]), Ok(()));
        assert_eq!(check(Norm::L1, 0.1, [0.55, 0.9 - 2e-5]), Err(Outside::Ball));
        assert_eq!(check(Norm::L1, 0.1, [0.6, 0.94]), Err(Outside::Ball));
        assert_eq!(check(Norm::L0, 1.0, [0.0, 0.95]), Ok(()));
        assert_eq!(check(Norm::L0, 1.0, [0.0, 0.95 - f32::EPSILON]), Err(Outside::Ball));
        // The box has no tolerance, and NaN lies nowhere.
        assert_eq!(check(Norm::Linf, 0.1, [0.5, 1.0 + 1e-6]), Err(Outside::Box));
        assert_eq!(check(Norm::Linf, 0.1, [f32::NAN, 0.95]), Err(Outside::Box));
        let linf = ThreatModel::new(Norm::Linf, 0.1).unwrap();
        assert_eq!(linf.check_position(&image, &[0.5]), Err(Outside::Box));
        assert!(linf.contains(&image, &[0.6, 0.85]) && !linf.contains(&image, &[0.7, 0.95]));
    }
}

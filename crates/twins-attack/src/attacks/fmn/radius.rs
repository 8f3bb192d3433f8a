use crate::norms::norm::Norm;

/// The next radius after an adversarial point, where `nearest` is the distance of the nearest one so far.
pub(super) fn shrunk(norm: Norm, radius: f32, gamma: f32, nearest: f32) -> f32 {
    match norm {
        Norm::L0 => (radius - 1.0).min((radius * (1.0 - gamma)).floor()).min(nearest).max(0.0),
        Norm::L1 | Norm::L2 | Norm::Linf => (radius * (1.0 - gamma)).min(nearest),
    }
}

/// The next radius after a point that was not adversarial, if an earlier point was. In L0 it applies in any case.
pub(super) fn grown(norm: Norm, radius: f32, gamma: f32) -> f32 {
    match norm {
        Norm::L0 => (radius + 1.0).max((radius * (1.0 + gamma)).floor()),
        Norm::L1 | Norm::L2 | Norm::Linf => radius * (1.0 + gamma),
    }
}

/// The distance of the linearised boundary from a point, `|margin| / ‖∇ margin‖*`. It is `None` in L0, which has no
/// dual norm to measure it in.
pub(super) fn to_boundary(norm: Norm, margin: f32, gradient: &[f32]) -> Option<f32> {
    let slope = norm.dual()?.length(gradient.iter().copied());
    Some(margin.abs() / slope.max(1e-12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_change_by_at_least_one() {
        assert_eq!(shrunk(Norm::L0, 10.0, 0.05, 100.0), 9.0);
        assert_eq!(shrunk(Norm::L0, 100.0, 0.05, 100.0), 95.0);
        assert_eq!(shrunk(Norm::L0, 100.0, 0.05, 7.0), 7.0);
        assert_eq!(shrunk(Norm::L0, 0.0, 0.05, 1.0), 0.0);
        assert_eq!(grown(Norm::L0, 10.0, 0.05), 11.0);
        assert_eq!(grown(Norm::L0, 110.0, 0.05), 115.0);
    }

    #[test]
    fn lengths_change_by_a_fraction() {
        assert_eq!(shrunk(Norm::L2, 2.0, 0.25, 100.0), 1.5);
        assert_eq!(shrunk(Norm::L2, 2.0, 0.25, 1.0), 1.0);
        // Before the first success the radius has no bound.
        assert_eq!(shrunk(Norm::Linf, f32::INFINITY, 0.25, 1.0), 1.0);
        assert_eq!(grown(Norm::L1, 2.0, 0.25), 2.5);
    }

    #[test]
    fn the_distance_of_a_boundary_is_measured_in_the_dual_norm() {
        let gradient = [3.0, -4.0];
        assert_eq!(to_boundary(Norm::L2, -10.0, &gradient), Some(2.0));
        assert_eq!(to_boundary(Norm::L1, -10.0, &gradient), Some(2.5));
        assert_eq!(to_boundary(Norm::Linf, -14.0, &gradient), Some(2.0));
        assert_eq!(to_boundary(Norm::L0, -14.0, &gradient), None);
        assert_eq!(to_boundary(Norm::L2, 0.0, &[0.0, 0.0]), Some(0.0));
    }
}

use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// The distinct threat models of an evaluation's attacks, in the order in which they first appear.
///
/// An adversarial example breaks its sample under every threat model that contains it, whichever attack found it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Threats {
    models: Vec<ThreatModel>,
    norms: Vec<Norm>,
}

impl Threats {
    pub(super) fn new(models: impl IntoIterator<Item = ThreatModel>) -> Self {
        let mut threats = Self { models: Vec::new(), norms: Vec::new() };
        for model in models {
            if !threats.models.contains(&model) {
                threats.models.push(model);
            }
            if !threats.norms.contains(&model.norm()) {
                threats.norms.push(model.norm());
            }
        }
        threats
    }

    pub(super) fn models(&self) -> &[ThreatModel] {
        &self.models
    }

    pub(super) fn norms(&self) -> &[Norm] {
        &self.norms
    }

    /// Index of a threat model.
    pub(super) fn place(&self, model: ThreatModel) -> usize {
        self.models.iter().position(|other| *other == model).unwrap_or(0)
    }

    /// Index of a threat model's norm among the norms.
    pub(super) fn norm_place(&self, threat: usize) -> usize {
        let norm = self.models[threat].norm();
        self.norms.iter().position(|other| *other == norm).unwrap_or(0)
    }

    /// Distance of a point from the clean image in each norm.
    pub(super) fn distances(&self, image: &[f32], point: &[f32]) -> Vec<f32> {
        let in_norm = |norm: &Norm| norm.length(point.iter().zip(image).map(|(p, x)| p - x));
        self.norms.iter().map(in_norm).collect()
    }

    /// Returns whether a threat model contains an image of the box with these distances.
    pub(super) fn contains(&self, threat: usize, distances: &[f32]) -> bool {
        self.models[threat].allows_distance(distances[self.norm_place(threat)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_measured_in_every_norm_and_contained_by_some_threat_models() {
        let threat = |norm, epsilon| ThreatModel::new(norm, epsilon).unwrap();
        let (linf, small, l2) = (threat(Norm::Linf, 0.4), threat(Norm::Linf, 0.2), threat(Norm::L2, 0.5));
        let threats = Threats::new([linf, l2, small, linf]);
        assert_eq!(threats.models(), [linf, l2, small]);
        assert_eq!(threats.norms(), [Norm::Linf, Norm::L2]);
        assert_eq!((threats.place(small), threats.norm_place(2)), (2, 0));
        // A perturbation of 0.3 and 0.4.
        let distances = threats.distances(&[0.5, 0.5], &[0.8, 0.1]);
        assert!((distances[0] - 0.4).abs() < 1e-6 && (distances[1] - 0.5).abs() < 1e-6, "{distances:?}");
        assert_eq!([0, 1, 2].map(|place| threats.contains(place, &distances)), [true, true, false]);
    }
}

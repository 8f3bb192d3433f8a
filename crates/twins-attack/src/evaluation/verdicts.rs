use super::coverage::Coverage;
use super::outcome::Outcome;
use super::threats::Threats;
use crate::losses::ranking::argmax;
use crate::model::clean::CleanLogits;
use crate::samples::source::SampleStream;

/// What an evaluation knows about its samples so far.
pub(super) struct Verdicts<'a> {
    threats: &'a Threats,
    coverage: Coverage,
    predictions: Vec<usize>,
    correct: Vec<bool>,
    /// Distance of the nearest adversarial example of each sample in each norm, or infinity where none was found.
    nearest: Vec<f32>,
    /// The stage that broke each sample first, and the index of its norm.
    first: Vec<Option<(usize, usize)>>,
    /// The number of samples that are correct on the clean image and not broken, under each threat model.
    robust: Vec<usize>,
    /// The same number under all threat models together.
    robust_to_all: usize,
}

impl<'a> Verdicts<'a> {
    pub(super) fn new(
        threats: &'a Threats,
        coverage: Coverage,
        samples: &SampleStream<'_>,
        clean: &CleanLogits,
    ) -> Self {
        let predictions: Vec<usize> = clean.rows().map(argmax).collect();
        let label = |index| samples.source().label(index);
        let correct: Vec<bool> = predictions.iter().enumerate().map(|(i, p)| *p == label(i)).collect();
        let count = correct.iter().filter(|correct| **correct).count();
        Self {
            nearest: vec![f32::INFINITY; correct.len() * threats.norms().len()],
            first: vec![None; correct.len()],
            robust: vec![count; threats.models().len()],
            robust_to_all: count,
            threats,
            coverage,
            predictions,
            correct,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.correct.len()
    }

    pub(super) fn prediction(&self, sample: usize) -> usize {
        self.predictions[sample]
    }

    /// Whether the clean image is classified correctly.
    pub(super) fn is_correct(&self, sample: usize) -> bool {
        self.correct[sample]
    }

    pub(super) fn correct(&self) -> usize {
        self.correct.iter().filter(|correct| **correct).count()
    }

    /// The number of samples that remain correct under a threat model.
    pub(super) fn robust(&self, threat: usize) -> usize {
        self.robust[threat]
    }

    /// The number of correct samples that no attack has broken.
    pub(super) fn robust_to_all(&self) -> usize {
        self.robust_to_all
    }

    /// The stage that broke a sample first, and the index of its norm.
    pub(super) fn first(&self, sample: usize) -> Option<(usize, usize)> {
        self.first[sample]
    }

    /// Distances of the nearest adversarial examples of a sample, one per norm.
    pub(super) fn nearest(&self, sample: usize) -> &[f32] {
        let norms = self.threats.norms().len();
        &self.nearest[sample * norms..(sample + 1) * norms]
    }

    /// Returns whether an adversarial example with these distances becomes the one of the sample.
    pub(super) fn is_nearer(&self, sample: usize, distances: &[f32]) -> bool {
        self.first[sample].is_none_or(|(_, norm)| distances[norm] < self.nearest(sample)[norm])
    }

    /// The samples that a stage with this threat model attacks.
    pub(super) fn to_attack(&self, threat: usize) -> Vec<usize> {
        let survives = |sample: usize| match self.coverage {
            Coverage::Survivors => !self.threats.contains(threat, self.nearest(sample)),
            Coverage::EveryAttack => true,
        };
        (0..self.len()).filter(|&sample| self.correct[sample] && survives(sample)).collect()
    }

    /// The number of samples that a stage with this threat model attacks.
    pub(super) fn to_attack_count(&self, threat: usize) -> usize {
        match self.coverage {
            Coverage::Survivors => self.robust[threat],
            Coverage::EveryAttack => self.correct(),
        }
    }

    /// Records an outcome of a stage with this threat model.
    pub(super) fn take(&mut self, outcome: &Outcome, threat: usize) {
        let sample = outcome.sample;
        if !outcome.broken() || !self.correct[sample] {
            return;
        }
        let norms = outcome.distances.len();
        if self.first[sample].is_none() {
            self.first[sample] = Some((outcome.stage, self.threats.norm_place(threat)));
            self.robust_to_all -= 1;
        }
        let broken = |nearest: &[f32], threat| self.threats.contains(threat, nearest);
        let nearest = &mut self.nearest[sample * norms..(sample + 1) * norms];
        for (threat, robust) in self.robust.iter_mut().enumerate() {
            let newly = !broken(nearest, threat) && broken(&outcome.distances, threat);
            *robust -= usize::from(newly);
        }
        for (nearest, distance) in nearest.iter_mut().zip(&outcome.distances) {
            *nearest = nearest.min(*distance);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::engine::verification::Verification;
    use crate::norms::norm::Norm;
    use crate::norms::threat_model::ThreatModel;
    use crate::samples::in_memory::Samples;

    fn outcome(stage: usize, sample: usize, distances: &[f32]) -> Outcome {
        Outcome {
            stage,
            sample,
            success: !distances.is_empty(),
            distances: distances.to_vec(),
            nearest: true,
            adversarial: None,
            forwards: 1,
            backwards: 0,
            verification: Verification::default(),
            seconds: 0.0,
        }
    }

    #[test]
    fn an_image_breaks_its_sample_under_every_threat_model_that_contains_it() {
        let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
        let images = [[[[0.6, 0.5]]], [[[0.6, 0.5]]], [[[0.1, 0.5]]]];
        let samples = Samples::new(Tensor::from_floats(images, &Device::flex()), vec![0; 3]).unwrap();
        let stream = samples.stream();
        let clean = CleanLogits::compute(&victim, &stream).unwrap();
        let threat = |norm, epsilon| ThreatModel::new(norm, epsilon).unwrap();
        let threats =
            Threats::new([threat(Norm::Linf, 0.1), threat(Norm::Linf, 0.2), threat(Norm::L2, 0.15)]);
        let every = Verdicts::new(&threats, Coverage::EveryAttack, &stream, &clean);
        let mut verdicts = Verdicts::new(&threats, Coverage::Survivors, &stream, &clean);
        // The last sample is misclassified without an attack.
        assert_eq!((verdicts.correct(), verdicts.robust_to_all()), (2, 2));
        assert_eq!((verdicts.to_attack(0), every.to_attack(0)), (vec![0, 1], vec![0, 1]));

        verdicts.take(&outcome(1, 0, &[0.15, 0.2]), 1);
        assert_eq!([0, 1, 2].map(|threat| verdicts.robust(threat)), [2, 1, 2]);
        assert_eq!((verdicts.to_attack(0), verdicts.to_attack(1)), (vec![0, 1], vec![1]));
        assert!(verdicts.is_nearer(0, &[0.14, 0.3]) && !verdicts.is_nearer(0, &[0.15, 0.1]));

        // Nearer in L2 only: the sample's distance stays that in the norm in which it was broken first.
        verdicts.take(&outcome(2, 0, &[0.15, 0.15]), 2);
        assert_eq!(verdicts.nearest(0), [0.15, 0.15]);
        assert_eq!(verdicts.first(0), Some((1, 0)));
        assert_eq!([0, 1, 2].map(|threat| verdicts.robust(threat)), [2, 1, 1]);
        assert_eq!(verdicts.robust_to_all(), 1);
        // It has failed.
        verdicts.take(&outcome(2, 1, &[]), 2);
        assert_eq!(verdicts.robust_to_all(), 1);
    }
}

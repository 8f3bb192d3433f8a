use std::sync::Arc;

use crate::draws::Draws;
use crate::norms::threat_model::ThreatModel;

/// One sample as an attack sees it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Number of the sample, which keys its random draws.
    pub id: u64,
    /// Values of the clean image, channels first. Shared, because it is in memory only while the sample is under attack.
    pub image: Arc<[f32]>,
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// The right class.
    pub label: usize,
    /// The class that a targeted attack was told to reach.
    pub target: Option<usize>,
    /// The point that a gradient attack was told to start from.
    pub start: Option<&'a [f32]>,
    /// Logits of the clean image.
    pub clean: &'a [f32],
}

impl Subject<'_> {
    /// The random draws of one run of one attack on this sample.
    pub fn draws(&self, seed: u64, attack: &str, run: usize) -> Draws {
        Draws::new(seed, self.id, attack, run as u64)
    }

    /// The point that the attack was told to start from, moved into the threat model, whose points are the only ones that an
    /// attack may return.
    pub fn start_within(&self, threat: &ThreatModel) -> Option<Vec<f32>> {
        let mut start = self.start?.to_vec();
        threat.project(&self.image, &mut start);
        Some(start)
    }
}

/// What a search wants to know about the point that it asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// The logits.
    Logits,
    /// The logits, and then the gradient of `Σ logits · cotangent` with respect to the point.
    Gradient,
}

/// Whether a search goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It has another point to ask about.
    Ask,
    /// It has ended.
    Done,
}

/// Where a search ended.
///
/// A claim to have fooled the model is not believed: the engine checks the point again (see
/// [`VerificationRule`](crate::VerificationRule)).
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The attack's image, inside the threat model.
    pub point: Vec<f32>,
    /// Whether the attack claims that it reached its goal there.
    pub fooled: bool,
    /// The class that the model must see for the goal to be reached; without one, any class but the label.
    pub target: Option<usize>,
    /// The model's logits at the point.
    pub logits: Vec<f32>,
    /// How strong the point is in the attack's own terms, larger is stronger: the loss that it maximises, or for a
    /// minimum-norm attack minus the distance. The runs on one sample are compared by it
    /// ([`RunSelection`](crate::RunSelection)).
    pub loss: f32,
}

/// The course of one run of an attack on one sample, written as a conversation: it asks about a point, is told the
/// model's answer, and moves on.
///
/// Attacks are written per sample because then nothing depends on the batch: whoever drives the searches packs the
/// questions of many of them, at whatever point of their course, into full batches, and a search that has ended makes
/// room at once.
pub trait Search: Send {
    /// The point to ask about: as many values as the clean image.
    fn point(&self) -> &[f32];

    /// What is wanted there.
    fn need(&self) -> Need;

    /// Writes the cotangent, given the logits at the point; asked only for [`Need::Gradient`], once for each of the
    /// [repeated passes](crate::Attack::repeats).
    fn cotangent(&mut self, logits: &[f32], cotangent: &mut [f32]);

    /// Takes the answer; the gradient is empty for [`Need::Logits`].
    fn answer(&mut self, logits: &[f32], gradient: &[f32]) -> Step;

    /// The result, once [`Search::answer`] has returned [`Step::Done`].
    fn finish(self: Box<Self>) -> Finding;
}

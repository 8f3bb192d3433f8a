use crate::gallery::Gallery;
use crate::robustness::{AttackScore, RobustnessCurve};
use twins_train::{Best, EpochMetrics, TrainConfig};

/// One training of a [`Report`](crate::Report): its metrics, and what was measured on test images.
#[derive(Clone, Debug, Default)]
pub struct ReportRun {
    pub(crate) name: String,
    pub(crate) history: Vec<EpochMetrics>,
    pub(crate) best: Option<Best>,
    pub(crate) config: Option<TrainConfig>,
    pub(crate) curves: Vec<RobustnessCurve>,
    pub(crate) attacks: Vec<AttackScore>,
    pub(crate) gallery: Option<Gallery>,
}

impl ReportRun {
    /// A training with the metrics of its epochs, in order.
    pub fn new(name: impl Into<String>, history: Vec<EpochMetrics>) -> Self {
        Self { name: name.into(), history, ..Self::default() }
    }

    /// Sets the best epoch, which charts mark.
    #[must_use]
    pub fn with_best(mut self, best: Option<Best>) -> Self {
        self.best = best;
        self
    }

    /// Sets the effective configuration.
    #[must_use]
    pub fn with_config(mut self, config: &TrainConfig) -> Self {
        self.config = Some(config.clone());
        self
    }

    /// Adds a curve of accuracy against radius; the first is drawn solid, the others dashed.
    #[must_use]
    pub fn with_curve(mut self, curve: RobustnessCurve) -> Self {
        self.curves.push(curve);
        self
    }

    /// Adds the accuracy under an attack.
    #[must_use]
    pub fn with_attack(mut self, score: AttackScore) -> Self {
        self.attacks.push(score);
        self
    }

    /// Sets the images shown.
    #[must_use]
    pub fn with_gallery(mut self, gallery: Gallery) -> Self {
        self.gallery = Some(gallery);
        self
    }
}

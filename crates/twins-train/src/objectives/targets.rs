use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use super::halves::split_labels;

/// The targets of a cross-entropy: labels, optionally smoothed, and optionally mixed with the labels of other samples.
///
/// ```text
/// t = weight · s(y) + (1 − weight) · s(y₂),   s(y) = (1 − smoothing) · onehot(y) + smoothing / classes
/// ```
///
/// Sources: Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7 (label smoothing, as in
/// `torch.nn.CrossEntropyLoss`); Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
#[derive(Clone, Debug)]
pub struct Targets {
    labels: Tensor<1, Int>,
    mixed: Option<MixedLabels>,
    smoothing: f64,
}

/// The labels of the images that a batch's images are mixed with.
#[derive(Clone, Debug)]
struct MixedLabels {
    labels: Tensor<1, Int>,
    /// The weight of the first labels, at least one half.
    weight: f64,
}

impl Targets {
    /// Creates targets from labels `[n]`, without smoothing and mixing.
    pub fn new(labels: Tensor<1, Int>) -> Self {
        Self { labels, mixed: None, smoothing: 0.0 }
    }

    /// Sets the label smoothing, in [0, 1): every class gets a probability of at least `smoothing` / classes.
    #[must_use]
    pub fn with_smoothing(mut self, smoothing: f64) -> Self {
        self.smoothing = smoothing;
        self
    }

    /// Mixes the labels, which get the weight `weight`, with other labels `[n]`, which get the weight 1 − `weight`.
    #[must_use]
    pub fn with_mixed(mut self, labels: Tensor<1, Int>, weight: f64) -> Self {
        self.mixed = Some(MixedLabels { labels, weight });
        self
    }

    /// Splits the samples as the two-wing layers do: into the first half, rounded down, and the rest.
    pub fn split(self) -> (Self, Self) {
        let smoothing = self.smoothing;
        let (first, rest) = split_labels(self.labels);
        let (first, rest) =
            (Self::new(first).with_smoothing(smoothing), Self::new(rest).with_smoothing(smoothing));
        match self.mixed {
            None => (first, rest),
            Some(MixedLabels { labels, weight }) => {
                let (first_mixed, rest_mixed) = split_labels(labels);
                (first.with_mixed(first_mixed, weight), rest.with_mixed(rest_mixed, weight))
            }
        }
    }

    /// Computes the cross-entropy −Σₖ tₖ log softmax(logits)ₖ, averaged over the batch.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[n, classes]`, output: `[1]`
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use twins_train::Targets;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::from_floats([[0.0, 0.0]], &device);
    /// let loss = Targets::new(Tensor::from_ints([1], &device)).cross_entropy(logits).into_scalar::<f32>();
    /// assert!((loss - 2f32.ln()).abs() < 1e-6);
    /// ```
    pub fn cross_entropy(self, logits: Tensor<2>) -> Tensor<1> {
        let log_probabilities = log_softmax(logits, 1);
        let of = |labels: Tensor<1, Int>| {
            log_probabilities.clone().gather(1, labels.unsqueeze_dim(1)).mean().neg()
        };
        let mut loss = of(self.labels);
        if let Some(MixedLabels { labels, weight }) = self.mixed {
            loss = loss.mul_scalar(weight) + of(labels).mul_scalar(1.0 - weight);
        }
        if self.smoothing == 0.0 {
            return loss;
        }
        let uniform = log_probabilities.mean().neg();
        loss.mul_scalar(1.0 - self.smoothing) + uniform.mul_scalar(self.smoothing)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Probabilities ¼ and ¾ of one sample.
    fn logits(device: &Device) -> Tensor<2> {
        Tensor::from_floats([[0.0, 3f32.ln()]], device)
    }

    fn labels(label: i32, device: &Device) -> Tensor<1, Int> {
        Tensor::from_ints([label], device)
    }

    #[test]
    fn smoothed_and_mixed_by_hand() {
        let device = Device::flex();
        let loss = |targets: Targets| targets.cross_entropy(logits(&device)).into_scalar::<f32>();
        let plain = Targets::new(labels(0, &device));
        let (rare, likely) = (4f32.ln(), (4f32 / 3.0).ln());
        for (found, expected) in [
            (loss(plain.clone()), rare),
            // t = (0.9, 0.1)
            (loss(plain.clone().with_smoothing(0.2)), 0.9 * rare + 0.1 * likely),
            // t = (0.75, 0.25)
            (loss(plain.clone().with_mixed(labels(1, &device), 0.75)), 0.75 * rare + 0.25 * likely),
            // t = 0.8 · (0.75, 0.25) + 0.2 · (0.5, 0.5)
            (loss(plain.with_mixed(labels(1, &device), 0.75).with_smoothing(0.2)), 0.7 * rare + 0.3 * likely),
        ] {
            // Float32 rounding.
            assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        }
    }

    #[test]
    fn halves_keep_their_labels_and_settings() {
        let device = Device::flex();
        let all = Targets::new(Tensor::from_ints([0, 1, 0], &device))
            .with_mixed(Tensor::from_ints([1, 1, 0], &device), 0.5)
            .with_smoothing(0.1);
        let (first, rest) = all.split();
        assert_eq!(first.labels.into_data().iter::<i64>().collect::<Vec<_>>(), [0]);
        assert_eq!(rest.labels.into_data().iter::<i64>().collect::<Vec<_>>(), [1, 0]);
        let mixed = rest.mixed.expect("it was mixed");
        assert_eq!(
            (mixed.labels.into_data().iter::<i64>().collect::<Vec<_>>(), mixed.weight),
            (vec![1, 0], 0.5)
        );
        assert_eq!((first.smoothing, rest.smoothing), (0.1, 0.1));
    }

    #[test]
    fn large_logits_stay_finite() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[1e4, -1e4]], &device);
        let targets = Targets::new(Tensor::from_ints([1], &device));
        // ln(1 + e^-20000) vanishes: the loss is the gap, exact in float32.
        assert_eq!(targets.cross_entropy(logits).into_scalar::<f32>(), 2e4);
    }
}

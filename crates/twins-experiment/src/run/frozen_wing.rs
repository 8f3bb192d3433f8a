use twins_train::{EpochMetrics, Method, TrainConfig};

/// Thresholds as fractions of ln(classes), the loss of a wing that gives every class the same probability. A frozen wing above the first
/// has learned nothing, and an adaptive wing below the second has learned.
const AT_CHANCE: f64 = 0.98;
const LEARNING: f64 = 0.85;

/// The limit of the gradient's norm with which the frozen wing trains at high learning rates (docs/study).
const LIMIT: f64 = 1.0;

/// Returns a warning if the adaptive wing learns and the frozen wing does not, because the steps are too long for a network that normalises
/// with constants (docs/study). No other output shows this, because the accuracies are those of the adaptive wing.
pub(super) fn warning(epoch: &EpochMetrics, config: &TrainConfig, classes: usize) -> Option<String> {
    // In other methods, the loss of a wing includes a divergence.
    let frozen = epoch.loss_frozen.filter(|_| config.method == Method::TwinsAt)?;
    let (adaptive, chance) = (epoch.loss_adaptive, (classes as f64).ln());
    (frozen > AT_CHANCE * chance && adaptive < LEARNING * chance).then(|| {
        let limited = config.gradient_clip.is_some_and(|limit| limit <= LIMIT);
        let limit = if limited { String::new() } else { format!(", or set gradient_clip = {LIMIT}") };
        format!(
            "the frozen wing learns nothing: its loss is {frozen:.2}, and that of chance among {classes} classes {chance:.2}, while the adaptive \
             wing's is {adaptive:.2}; lower learning_rate or lambda{limit}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(frozen: Option<f64>, adaptive: f64) -> EpochMetrics {
        let accuracy = serde_json::json!({ "correct": 1, "total": 2 });
        serde_json::from_value(serde_json::json!({
            "epoch": 1, "steps": 1, "learning_rate": 0.1, "loss": 1.0, "loss_frozen": frozen, "loss_adaptive": adaptive,
            "train_adversarial_accuracy": accuracy, "ema_accuracy": null, "gradient_norm": 1.0, "skipped_batches": 0,
            "images_per_second": 1.0, "seconds": 1.0, "seconds_waiting": 0.0,
        }))
        .unwrap()
    }

    #[test]
    fn a_frozen_wing_at_chance_beside_an_adaptive_one_that_learns_is_told() {
        let warning =
            |frozen, adaptive, method| warning(&epoch(frozen, adaptive), &TrainConfig::new(method), 43);
        let text = warning(Some(3.8), 3.0, Method::TwinsAt).unwrap();
        for part in [
            "its loss is 3.80",
            "chance among 43 classes 3.76",
            "adaptive wing's is 3.00",
            "lower learning_rate or lambda, or set gradient_clip = 1",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        // It learns; neither learns, as at the beginning; another loss; one wing.
        assert_eq!(warning(Some(3.3), 3.1, Method::TwinsAt), None);
        assert_eq!(warning(Some(3.8), 3.7, Method::TwinsAt), None);
        assert_eq!(warning(Some(3.8), 3.0, Method::TwinsTrades), None);
        assert_eq!(warning(None, 3.0, Method::At), None);
    }

    #[test]
    fn a_limit_that_is_set_is_not_advised() {
        for (limit, advised) in [(Some(0.5), false), (Some(1.0), false), (Some(5.0), true)] {
            let config = TrainConfig { gradient_clip: limit, ..TrainConfig::new(Method::TwinsAt) };
            let text = warning(&epoch(Some(3.8), 3.0), &config, 43).unwrap();
            assert_eq!(text.ends_with(", or set gradient_clip = 1"), advised, "{text}");
            assert!(text.contains("lower learning_rate or lambda"), "{text}");
        }
    }
}

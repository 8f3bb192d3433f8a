//! The drift that a training records.

use twins_train::{Method, Weights};
use twins_train_testing::{Net, Squares, config, trainer};

#[test]
fn the_drift_is_that_of_the_weights() {
    let trained = trainer(config(Method::TwinsAt)).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap();
    let weights = Weights::of(&trained.last);
    let values = |name: &str| -> Vec<f64> { weights.tensors()[name].iter::<f64>().collect() };
    let (mean, var) = (values("norm.running_mean"), values("norm.running_var"));
    let (frozen_mean, frozen_var) = (values("norm.frozen_mean"), values("norm.frozen_var"));
    let channels = mean.len() as f64;
    let shift: f64 =
        (0..mean.len()).map(|c| (mean[c] - frozen_mean[c]).abs() / (frozen_var[c] + 1e-5).sqrt()).sum();
    let ratio: f64 = (0..var.len()).map(|c| ((var[c] + 1e-5) / (frozen_var[c] + 1e-5)).ln().abs()).sum();
    let drift = trained.history.last().unwrap().wing_drift["norm"];
    // The same sums in the same precision.
    assert!((drift.mean_shift - shift / channels).abs() < 1e-12, "{drift:?}");
    assert!((drift.variance_ratio - ratio / channels).abs() < 1e-12, "{drift:?}");
    assert!(drift.mean_shift > 0.01, "the statistics never moved: {drift:?}");
}

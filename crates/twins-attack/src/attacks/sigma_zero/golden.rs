//! The update rule against the authors' code (see `tests/golden/minimum_norm/README.md`).

use safetensors::SafeTensors;

use super::attack::Descent;
use super::config::SigmaZeroConfig;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// Values of one image.
const ROW: usize = 360;

fn values(file: &str, name: &str) -> Vec<f32> {
    let folder = twins_testing::repository().join("crates/twins-attack/tests/golden").join(file);
    let bytes = std::fs::read(folder.join(format!("{file}.safetensors"))).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let words = file.tensor(name).unwrap().data().as_chunks::<4>().0;
    words.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

#[test]
fn updates_are_those_of_the_reference() {
    let images = values("synthetic_attacks", "images");
    let [gradients, points, thresholds] = ["gradients", "points", "thresholds"]
        .map(|entry| values("minimum_norm", &format!("sigma_zero.{entry}")));
    let config = SigmaZeroConfig::new(ThreatModel::new(Norm::L0, 360.0).unwrap());
    for (sample, image) in images.chunks(ROW).enumerate() {
        let mut descent = Descent::new(&config, ROW);
        let mut x = image.to_vec();
        for call in 0..3 {
            let rows = |values: &[f32]| values[(call * 8 + sample) * ROW..][..ROW].to_vec();
            let [before, after] = [config.threshold, thresholds[call * 8 + sample]];
            let before = if call == 0 { before } else { thresholds[(call - 1) * 8 + sample] };
            descent.advance(image, &mut x, &rows(&gradients), after > before);
            // One rounding of a value of size 0.3.
            assert!((descent.threshold - after).abs() < 1e-6, "sample {sample}, call {call}");
            // A few roundings of a step of size 1; 2e-7 in PyTorch.
            let off = x.iter().zip(rows(&points)).map(|(x, p)| (x - p).abs()).fold(0.0, f32::max);
            assert!(off < 1e-6, "sample {sample}, call {call}: {off}");
        }
    }
}

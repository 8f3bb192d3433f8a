//! FGSM and PGD on the real adversarially trained MNIST network reproduce the counts of PyTorch on all 10 000 test
//! images.

use std::time::Instant;

use burn_twins::attack::{Attack, Norm, Pgd, PgdConfig, ThreatModel, accuracy};
use twins_testing::shared;

use crate::robust_mnist::{load, victim};

/// Float rounding turns a few images from one machine to the next; the counts' provider found it to be at most this.
const ROUNDING: usize = 5;

fn pgd(norm: Norm, epsilon: f32, steps: usize, step_size: f32) -> Pgd {
    PgdConfig::new(ThreatModel::new(norm, epsilon).unwrap(), steps, step_size).build().unwrap()
}

#[test]
fn counts_are_those_of_pytorch() {
    let Some((net, samples)) = load(shared, &(0..10_000).collect::<Vec<_>>()) else { return };
    let victim = victim(&net);
    let clean = (accuracy(&victim, &samples).unwrap() * 10_000.0).round() as usize;
    assert!(clean.abs_diff(9899) <= ROUNDING, "clean: {clean}");
    for (attack, expected) in [
        (pgd(Norm::Linf, 0.3, 1, 0.3), 9449),
        (pgd(Norm::Linf, 0.3, 20, 0.03), 9042),
        (pgd(Norm::Linf, 0.3, 40, 0.01), 9069),
        (pgd(Norm::Linf, 0.1, 10, 0.025), 9765),
        (pgd(Norm::L2, 2.0, 20, 0.25), 8475),
    ] {
        let begin = Instant::now();
        let output = attack.run(&victim, &samples).unwrap();
        let robust = output.fooled.iter().filter(|fooled| !**fooled).count();
        println!("{} {}: {robust}, {:.1?}", attack.name(), attack.threat_model().norm(), begin.elapsed());
        assert!(
            robust.abs_diff(expected) <= ROUNDING,
            "{:?}: {robust}, expected {expected}",
            attack.config()
        );
    }
}

//! The loss of PMA against the authors' code (see `tests/golden/minimum_norm/README.md`).

use burn::tensor::Device;
use twins_attack::{ApgdConfig, Attack, Loss, Norm, PgdConfig, Samples, Start, Targets, ThreatModel};
use twins_attack_testing::{Golden, difference};

#[test]
fn values_and_gradients_are_those_of_the_reference() {
    let golden = Golden::open("minimum_norm", Device::flex());
    let (logits, labels) = (golden.values("pma.logits"), golden.indices("pma.label"));
    let targets = golden.indices("pma.target");
    for targeted in [false, true] {
        let name = if targeted { "targeted" } else { "untargeted" };
        let [losses, gradients] =
            ["loss", "gradient"].map(|entry| golden.values(&format!("pma.{name}.{entry}")));
        for (row, z) in logits.chunks(6).enumerate() {
            let loss = Loss::ProbabilityMargin;
            let objective = loss.of(labels[row], targeted.then_some(targets[row]), &[0.0; 6]).unwrap();
            let mut cotangent = [0.0; 6];
            let value = objective.evaluate(z, &mut cotangent);
            // Roundings of probabilities of size 1.
            assert!((value - losses[row]).abs() < 3e-7, "{name}, row {row}: {value} {}", losses[row]);
            let expected = &gradients[row * 6..][..6];
            let off = difference(&cotangent, expected);
            assert!(off < 3e-7, "{name}, row {row}: {cotangent:?} {expected:?}");
            // Steps follow the sign of the smallest gradients, too. Those of other classes than the label are products of
            // a probability and a number from 0 to 2: a few roundings each. The label's is a difference of them.
            for class in (0..6).filter(|&class| class != labels[row]) {
                let (found, expected) = (cotangent[class], expected[class]);
                assert!(
                    (found - expected).abs() <= 1e-6 * expected.abs(),
                    "{name}, row {row}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn pgd_and_apgd_maximise_it() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), golden.samples());
    let victim = |x| net.forward(x);
    let threat = ThreatModel::new(Norm::Linf, 0.013).unwrap();
    let loss = Loss::ProbabilityMargin;
    let apgd = ApgdConfig::new(threat).with_loss(loss);
    let targeted = apgd.clone().with_targets(Targets::Top(5)).build().unwrap();
    let apgd = apgd.build().unwrap();
    assert_eq!((apgd.name(), targeted.name()), ("apgd-pma".to_string(), "apgd-t-pma".to_string()));
    let fooled = |attack: &dyn Attack, samples: &Samples| {
        attack.run(&victim, samples).unwrap().fooled.iter().filter(|fooled| **fooled).count()
    };
    // The reference's FAB-T finds points within 0.013 for so many images; a targeted run for each class finds them all.
    let distances = golden.values("fab_t_linf.distance_by_target_rank");
    let reachable = distances.chunks(5).filter(|d| d.iter().any(|d| *d <= 0.013)).count();
    assert_eq!(fooled(&targeted, &samples), reachable);
    let pgd = PgdConfig::new(threat, 20, 0.003).with_start(Start::Uniform).with_loss(loss);
    for attack in [&apgd as &dyn Attack, &pgd.build().unwrap()] {
        let found = fooled(attack, &samples);
        assert!(found > 0 && found <= reachable, "{}: {found}", attack.name());
    }
}

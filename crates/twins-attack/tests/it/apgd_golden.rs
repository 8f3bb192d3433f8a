//! APGD against the reference, step by step.

use std::sync::Mutex;

use burn::tensor::Tensor;
use twins_attack::{Apgd, ApgdConfig, Attack, L1Phases, Loss, Norm, Returned, Targets, ThreatModel};
use twins_attack_testing::{Golden, difference, host};

fn attack(norm: Norm, loss: Loss, targets: Targets, returned: Returned) -> Apgd {
    let epsilon = match norm {
        Norm::Linf => 0.013,
        Norm::L2 => 0.2,
        Norm::L1 => 1.4,
        Norm::L0 => unreachable!("the reference has no L0"),
    };
    let config = ApgdConfig::new(ThreatModel::new(norm, epsilon).unwrap()).with_steps(50).with_loss(loss);
    config.with_targets(targets).with_returned(returned).with_l1_phases(L1Phases::Fixed).build().unwrap()
}

#[test]
fn trajectories_are_those_of_the_reference() {
    let golden = Golden::read();
    let net = golden.net();
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        for (loss, targets, name) in [
            (Loss::CrossEntropy, Targets::None, "ce"),
            (Loss::Dlr, Targets::None, "dlr"),
            (Loss::Dlr, Targets::Given, "dlr_targeted"),
        ] {
            let case = format!("apgd_{norm}_{name}");
            let entry = |what: &str| format!("{case}.{what}");
            let mut samples = golden.samples().with_starts(golden.tensor(&entry("start"))).unwrap();
            if targets == Targets::Given {
                samples = samples.with_targets(golden.indices(&entry("target"))).unwrap();
            }
            // A victim that records the images that it receives. The first query is the clean pass.
            let asked = Mutex::new(Vec::new());
            let victim = |x: Tensor<4>| {
                let logits = net.forward(x.clone());
                // The final check of the claims has fewer images.
                if x.dims()[0] == 8 {
                    asked.lock().unwrap().push((host(x.inner()), host(logits.clone().inner())));
                }
                logits
            };
            let output = attack(norm, loss, targets, Returned::BestLoss).run(&victim, &samples).unwrap();
            let asked = std::mem::take(&mut *asked.lock().unwrap());
            assert!(output.verification.claimed < 8, "{case}: {:?}", output.verification);
            assert_eq!(asked.len(), 1 + 51);

            // Every point agrees within rounding (1e-6 where steps are scaled by a norm), also after the first
            // checkpoint.
            // A sample may leave the reference's path only where rounding decides between equals (two iterates whose
            // losses agree to the last bit): one sample does, in Linf with DLR.
            let iterates = golden.values(&entry("iterates"));
            let mut strayed = [false; 8];
            for (place, call) in [0, 1, 2, 3, 11, 12, 13].into_iter().enumerate() {
                for (sample, strayed) in strayed.iter_mut().enumerate() {
                    let expected = &iterates[(place * 8 + sample) * 360..][..360];
                    *strayed |= difference(&asked[1 + call].0[sample * 360..][..360], expected) > 1e-6;
                }
            }
            let allowed = usize::from(case == "apgd_linf_dlr");
            assert!(strayed.iter().filter(|s| **s).count() <= allowed, "{case}: {strayed:?}");

            // The logits at every call until after the first checkpoint: rounding through three layers at size 10.
            let logits = golden.values(&entry("logits"));
            for call in 0..=14 {
                for sample in (0..8).filter(|&sample| !strayed[sample]) {
                    let off = difference(
                        &asked[1 + call].1[sample * 6..][..6],
                        &logits[(call * 8 + sample) * 6..][..6],
                    );
                    assert!(off < 1e-4, "{case}: call {call}, sample {sample}: {off}");
                }
            }

            // At the end, the verdicts are the same, and the best losses are at least as large, up to the cost of later
            // divergence (1 %).
            let best_loss = golden.values(&entry("best_loss"));
            let z = host(net.forward(output.adversarial));
            for sample in 0..8 {
                let target = (targets == Targets::Given).then(|| golden.indices(&entry("target"))[sample]);
                let z = &z[sample * 6..][..6];
                let objective = loss.of(samples.labels()[sample], target, z).unwrap();
                let found = objective.evaluate(z, &mut [0.0; 6]);
                let slack = 1e-2 * best_loss[sample].abs() + 1e-5;
                assert!(found >= best_loss[sample] - slack, "{case}: {found} {}", best_loss[sample]);
            }
            let verdicts = attack(norm, loss, targets, Returned::FirstFooled).run(&victim, &samples).unwrap();
            let still_right: Vec<bool> =
                golden.indices(&entry("still_right")).iter().map(|&r| r == 1).collect();
            assert_eq!(
                verdicts.fooled.iter().map(|fooled| !fooled).collect::<Vec<_>>(),
                still_right,
                "{case}"
            );
            // Samples that are fooled leave the batch.
            assert!(verdicts.forwards < output.forwards);
        }
    }
}

#[test]
fn shrinking_phases_end_in_the_allowed_ball() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), golden.samples());
    let victim = |x: Tensor<4>| net.forward(x);
    let threat = ThreatModel::new(Norm::L1, 1.4).unwrap();
    for steps in [1, 2, 3, 4, 10] {
        for returned in [Returned::FirstFooled, Returned::BestLoss] {
            let config = ApgdConfig::new(threat).with_steps(steps).with_returned(returned);
            let output = config.build().unwrap().run(&victim, &samples).unwrap();
            for (i, point) in host(output.adversarial).chunks(360).enumerate() {
                // 1e-4 relative, as the threat model promises.
                assert!(threat.distance(samples.image(i), point) <= 1.4 * (1.0 + 1e-4));
            }
        }
    }
}

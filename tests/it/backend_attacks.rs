//! Every attack in every norm on every device of `TWINS_DEVICES`: the threat model is kept, and verdicts and points are
//! those of the portable CPU backend.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use burn_twins::attack::{
    Attack, AutoAttackConfig, Evaluation, Norm, Replica, RobustnessEvaluation, Silent, ThreatModel, Version,
};
use twins_attack_testing::{Golden, ROUNDING, attacks, difference, host, margins};

const CLASSES: usize = 6;

/// A few hundred roundings of a gradient whose step has at most unit length. Seen: 1e-6, and 4e-6 with FAB in L1, which
/// divides what is left to the hyperplane by the slope of a single pixel. Draws are the host's, so they are the same; in
/// Linf no gradient of this case is within rounding of zero, so that the signs are, too.
const TOLERANCE: f32 = 2e-5;

/// What an attack came to: its points, and which images they fool.
struct Found {
    points: Vec<f32>,
    fooled: Vec<bool>,
}

fn run(golden: &Golden, threat: ThreatModel) -> Vec<(String, Found)> {
    let (net, samples) = (golden.net(), golden.samples());
    let victim = |images: Tensor<4>| net.forward(images);
    let run = |attack: Box<dyn Attack>| {
        let output = attack.run(&victim, &samples).unwrap();
        // The model's own word, in a pass of its own.
        let margins = margins(&victim, output.adversarial.clone(), samples.labels());
        for (place, (fooled, margin)) in output.fooled.iter().zip(margins).enumerate() {
            assert_eq!(*fooled, output.predictions[place] != samples.labels()[place], "{}", attack.name());
            let agrees = if *fooled { margin > -ROUNDING } else { margin < ROUNDING };
            assert!(agrees, "{}: sample {place}, fooled {fooled}, margin {margin}", attack.name());
        }
        (attack.name(), Found { points: host(output.adversarial), fooled: output.fooled })
    };
    attacks(threat, CLASSES, 3).into_iter().map(run).collect()
}

#[test]
fn every_attack_does_the_same_on_every_device() {
    for (name, device) in burn_twins_tests::devices() {
        let (here, cpu) = (Golden::read_to(device), Golden::read_to(Device::flex()));
        let samples = cpu.samples();
        let row = samples.image(0).len();
        for (norm, epsilon) in [(Norm::Linf, 0.013), (Norm::L2, 0.2), (Norm::L1, 1.4)] {
            let begin = Instant::now();
            let threat = ThreatModel::new(norm, epsilon).unwrap();
            let (found, expected) = (run(&here, threat), run(&cpu, threat));
            // DDN supports L2 alone.
            assert_eq!(found.len(), if norm == Norm::L2 { 17 } else { 15 });
            let mut fallen = 0;
            let mut worst = (0.0, String::new());
            for ((attack, found), (_, expected)) in found.iter().zip(&expected) {
                for (place, point) in found.points.chunks(row).enumerate() {
                    assert!(point.iter().all(|p| (0.0..=1.0).contains(p)), "{name} {attack} {norm}");
                    // As the threat model promises: 1e-6 absolute in Linf, 1e-4 relative in L2 and L1.
                    let slack = if norm == Norm::Linf { 1e-6 } else { 1e-4 * epsilon };
                    let distance = threat.distance(samples.image(place), point);
                    assert!(distance <= epsilon + slack, "{name} {attack} {norm}: {distance}");
                }
                let off = difference(&found.points, &expected.points);
                assert!(off <= TOLERANCE, "{name} {attack} {norm}: {off}");
                if off >= worst.0 {
                    worst = (off, attack.clone());
                }
                assert_eq!(found.fooled, expected.fooled, "{name} {attack} {norm}");
                fallen += found.fooled.iter().filter(|fooled| **fooled).count();
            }
            println!(
                "{name} {norm}: points at most {:.1e} off ({}), {:.1?}",
                worst.0,
                worst.1,
                begin.elapsed()
            );
            // The verdicts say something.
            assert!(fallen > 13 && fallen < 7 * 13, "{norm}: {fallen}");
        }
    }
}

#[test]
fn two_backends_share_an_evaluation() {
    let cpu = Golden::read();
    let threat = ThreatModel::new(Norm::L2, 0.2).unwrap();
    let config = AutoAttackConfig::new(threat, Version::Standard).with_steps(5).with_queries(20);
    let autoattack = RobustnessEvaluation::autoattack(config).unwrap();
    let net = cpu.net();
    let victim = |images: Tensor<4>| net.forward(images);
    let alone = autoattack.evaluate(&victim, &cpu.samples(), &mut Silent).unwrap();
    let verdicts = |evaluation: &Evaluation| -> Vec<_> {
        evaluation.report.samples.iter().map(|sample| sample.broken_by.clone()).collect()
    };
    for (name, device) in burn_twins_tests::devices() {
        let other = Golden::read_to(device.clone());
        let (net, asked) = (other.net(), AtomicUsize::new(0));
        let there = |images: Tensor<4>| {
            assert_eq!(images.device().inner(), device, "{name}");
            asked.fetch_add(1, Ordering::Relaxed);
            net.forward(images)
        };
        let (here, there) = (Replica::new(&victim, Device::flex()), Replica::new(&there, device.clone()));
        for replicas in [[here.clone(), there.clone()], [there, here]] {
            asked.store(0, Ordering::Relaxed);
            let shared = autoattack.evaluate_on(&replicas, &cpu.samples(), &mut Silent).unwrap();
            // No verdict of this case is within rounding.
            assert_eq!(verdicts(&shared), verdicts(&alone), "{name}");
            let off = difference(&host(shared.adversarial.clone()), &host(alone.adversarial.clone()));
            println!("{name}, with cpu: {off:e}, {} calls", asked.load(Ordering::Relaxed));
            assert!(off <= TOLERANCE, "{name}: {off}");
        }
    }
}

//! The attacks of AutoAttack on the real adversarially trained MNIST network, against values of the reference
//! implementation.
//!
//! The full ensembles take from minutes to half an hour on two cores and are run with `--ignored`.

use std::path::Path;
use std::sync::Mutex;

use burn::tensor::{Device, Tensor, TensorData};
use burn_twins::attack::{
    Apgd, ApgdConfig, Attack, AutoAttackConfig, Depth, FabConfig, L1Phases, Loss, Norm, Report, Returned,
    RobustnessEvaluation, Samples, Silent, Targets, ThreatModel, Version,
};
use burn_twins::models::Net;
use safetensors::SafeTensors;
use twins_testing::shared;

use crate::robust_mnist::{load, victim};

struct Golden(Vec<u8>);

impl Golden {
    fn read(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap())
    }

    fn words(&self, name: &str) -> Vec<[u8; 4]> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        file.tensor(name).unwrap().data().chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect()
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.words(name).into_iter().map(f32::from_le_bytes).collect()
    }

    fn indices(&self, name: &str) -> Vec<usize> {
        self.words(name).into_iter().map(|w| i32::from_le_bytes(w) as usize).collect()
    }
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().try_into_vec_as::<f32>().unwrap()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The golden file, the network, and the 32 images that the file is about.
fn case(file: &str) -> Option<(Golden, Net, Samples)> {
    let golden = Golden::read(&shared(&format!("golden/{file}.safetensors"))?);
    let (net, samples) = load(shared, &golden.indices("index"))?;
    assert_eq!(samples.labels(), golden.indices("label"));
    Some((golden, net, samples))
}

/// By which part of itself, or of 0.1 where it is smaller, a sample's best loss may differ from the reference's.
const LOSS: f32 = 0.01;

/// Another processor rounds otherwise, and other samples leave the path.
const ROUNDING: usize = 4;

#[test]
fn apgd_follows_the_reference() {
    // Of the 32 samples, how many were seen to have the reference's logits after 1, 3 and 10 iterations, its images after 5 and
    // 23, and its best loss.
    for (file, norm, epsilon, loss, targets, seen) in [
        ("apgd_linf_ce", Norm::Linf, 0.3, Loss::CrossEntropy, Targets::None, [31, 31, 28, 22, 25, 32]),
        ("apgd_linf_dlr", Norm::Linf, 0.3, Loss::Dlr, Targets::None, [32, 32, 31, 28, 28, 32]),
        ("apgd_linf_dlr_targeted", Norm::Linf, 0.3, Loss::Dlr, Targets::Given, [32, 32, 32, 29, 28, 32]),
        ("apgd_l2_ce", Norm::L2, 2.0, Loss::CrossEntropy, Targets::None, [25, 19, 19, 20, 20, 29]),
        ("apgd_l2_dlr", Norm::L2, 2.0, Loss::Dlr, Targets::None, [32, 32, 32, 32, 31, 32]),
        ("apgd_l1_ce", Norm::L1, 10.0, Loss::CrossEntropy, Targets::None, [31, 26, 22, 23, 24, 27]),
    ] {
        let Some((golden, net, samples)) = case(file) else { return };
        let device = Device::flex();
        let starts = Tensor::from_data(TensorData::new(golden.values("start"), [32, 1, 28, 28]), &device);
        // One call per iteration, so that they can be told apart below.
        let mut samples = samples.with_starts(starts).unwrap().with_concurrent_calls(1);
        if targets == Targets::Given {
            samples = samples.with_targets(golden.indices("target")).unwrap();
        }
        let attack = |returned| -> Apgd {
            let config = ApgdConfig::new(ThreatModel::new(norm, epsilon).unwrap()).with_loss(loss);
            config
                .with_targets(targets)
                .with_returned(returned)
                .with_l1_phases(L1Phases::Fixed)
                .build()
                .unwrap()
        };
        let asked = Mutex::new(Vec::new());
        let watched = |x: Tensor<4>| {
            let logits = net.forward(x.clone());
            // The check of what was claimed, at the end, has fewer images.
            if x.dims()[0] == 32 {
                asked.lock().unwrap().push((host(x), host(logits.clone())));
            }
            logits
        };
        let output = attack(Returned::BestLoss).run(&watched, &samples).unwrap();
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        assert!(output.verification.claimed < 32, "{:?}", output.verification);
        // The clean pass, the start and 100 iterations.
        assert_eq!(asked.len(), 102);

        // The network saturates (logits reach 30), so that rounding decides the sign of many gradients, and the paths
        // part sooner or later; a pixel that takes the other sign is off by up to 2 epsilon. The start is the same,
        // so its logits agree up to rounding.
        let logits = golden.values("iterate_logits");
        assert!(difference(&asked[1].1, &logits[..320]) < 1e-4, "{file}");
        let on_path = |call: usize| {
            let expected = &logits[call * 320..(call + 1) * 320];
            (0..32)
                .filter(|&i| difference(&asked[1 + call].1[i * 10..][..10], &expected[i * 10..][..10]) < 1e-4)
                .count()
        };
        let same = |call: usize, name: &str| {
            let expected = golden.values(name);
            let close = |i: &usize| {
                difference(&asked[1 + call].0[i * 784..][..784], &expected[i * 784..][..784]) < 1e-4
            };
            (0..32).filter(close).count()
        };
        let best_loss = golden.values("best_loss");
        let z = host(net.forward(output.adversarial));
        let mut ratios = Vec::new();
        for sample in 0..32 {
            let target = (targets == Targets::Given).then(|| golden.indices("target")[sample]);
            let z = &z[sample * 10..][..10];
            let found = loss.of(samples.labels()[sample], target, z).unwrap().evaluate(z, &mut [0.0; 10]);
            ratios.push((found, best_loss[sample]));
        }
        let verdicts = attack(Returned::FirstFooled).run(&victim(&net), &samples).unwrap();
        let still_right: Vec<bool> = golden.indices("still_right").iter().map(|&right| right == 1).collect();
        let other = (0..32).filter(|&i| verdicts.fooled[i] == still_right[i]).count();
        let mean = |pick: fn(&(f32, f32)) -> f32| ratios.iter().map(pick).sum::<f32>() / 32.0;
        let (found, expected) = (mean(|r| r.0), mean(|r| r.1));
        let losses = ratios
            .iter()
            .filter(|(found, expected)| (found - expected).abs() <= LOSS * expected.abs().max(0.1));
        let counts = [
            on_path(1),
            on_path(3),
            on_path(10),
            same(5, "iterate_5"),
            same(23, "iterate_23"),
            losses.count(),
        ];
        println!("{file}: {counts:?}; {other} other verdicts; mean best loss {found} against {expected}");
        for (count, seen) in counts.into_iter().zip(seen) {
            assert!(count + ROUNDING >= seen, "{file}: {counts:?}, seen {seen}");
        }
        // Seen: at most 1 other verdict (L1), and the mean best loss 2 % lower in L1, 0.3 % in L2, equal in Linf.
        assert!(other <= 1, "{file}");
        assert!(found >= expected - 0.03 * expected.abs(), "{file}: {found} {expected}");
    }
}

#[test]
fn fab_finds_the_distances_of_the_reference() {
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let Some((golden, net, samples)) = case(&format!("fab_t_{norm}")) else { return };
        let expected = golden.values("distance_by_target_rank");
        // No image of the box is farther away: every misclassified point counts.
        let threat = ThreatModel::new(norm, if norm == Norm::Linf { 1.0 } else { 1e4 }).unwrap();
        let mut found = vec![0.0; 32 * 9];
        for place in 0..9 {
            let config =
                FabConfig::new(threat).with_targets(Targets::Rank(place + 2)).with_depth(Depth::Nearest);
            let points = host(config.build().unwrap().run(&victim(&net), &samples).unwrap().adversarial);
            for i in 0..32 {
                found[i * 9 + place] = threat.distance(samples.image(i), &points[i * 784..(i + 1) * 784]);
            }
        }
        let mut off: Vec<f32> =
            found.iter().zip(&expected).map(|(f, e)| (f - e).abs() / e.max(1e-9)).collect();
        off.sort_by(f32::total_cmp);
        let longer = (0..32 * 9).filter(|&k| found[k] > 1.1 * expected[k]).count();
        let nearest = |all: &[f32], i: usize| {
            all[i * 9..i * 9 + 9].iter().copied().filter(|d| *d > 0.0).fold(f32::INFINITY, f32::min)
        };
        let worst = (0..32).map(|i| nearest(&found, i) / nearest(&expected, i)).fold(0.0, f32::max);
        println!(
            "{norm}: median off {:.4}, {longer} pairs over 10 % longer, nearest target at most {worst:.3} times as far",
            off[144]
        );
        // The project's bar; seen are 0, and at most 1.003.
        assert!(off[144] <= 0.02 && worst <= 1.1, "{norm}: {} {worst}", off[144]);
    }
}

fn standard(norm: Norm, epsilon: f32) -> RobustnessEvaluation {
    let threat = ThreatModel::new(norm, epsilon).unwrap();
    RobustnessEvaluation::autoattack(AutoAttackConfig::new(threat, Version::Standard)).unwrap()
}

fn evaluate(n: usize, evaluation: RobustnessEvaluation) -> Option<Report> {
    let (net, samples) = load(shared, &(0..n).collect::<Vec<_>>())?;
    let report = evaluation.evaluate(&victim(&net), &samples, &mut Silent).unwrap().report;
    println!("{report}");
    Some(report)
}

/// The stages' robust accuracies are at most `higher` points above and `lower` points below the reference's, and the last
/// is at most `last_higher` above.
fn agrees(report: &Report, expected: &[f64], higher: f64, lower: &[f64], last_higher: f64) {
    for ((stage, expected), lower) in report.stages.iter().zip(expected).zip(lower) {
        let found = 100.0 * stage.robust as f64 / report.clean.total as f64;
        assert!(
            found <= expected + higher + 1e-9 && found >= expected - lower - 1e-9,
            "{}: {found}, expected {expected}",
            stage.attack
        );
    }
    let last = 100.0 * report.robust.fraction();
    assert!(last <= expected[report.stages.len() - 1] + last_higher + 1e-9, "{last}");
}

#[test]
fn apgd_ce_breaks_as_many_of_1000() {
    let apgd = ApgdConfig::new(ThreatModel::new(Norm::Linf, 0.3).unwrap()).build().unwrap();
    let Some(report) = evaluate(1000, RobustnessEvaluation::new(vec![Box::new(apgd)]).unwrap()) else {
        return;
    };
    assert_eq!(report.clean.correct, 992);
    agrees(&report, &[87.4], 0.4, &[0.4], 0.4);
}

#[test]
#[ignore = "about 12 minutes on two cores"]
fn standard_on_1000_agrees_with_the_reference_at_less_work() {
    let Some(report) = evaluate(1000, standard(Norm::Linf, 0.3)) else { return };
    // The project's bar is 0.4 points either way, and 85.9 at the end; after APGD-T the reference's own seeds differ by 1.0
    // (docs/attacks-measured.md). Found: 87.2, 86.2, 86.1, 85.1.
    agrees(&report, &[87.4, 86.8, 86.5, 85.5], 0.4, &[0.4, 1.0, 0.4, 0.4], 0.4);
    // Sample-forwards and gradients of the reference on the same images.
    assert!(report.forwards as f64 <= 0.9 * 6_789_606.0, "{}", report.forwards);
    assert!(report.backwards <= 1_668_710, "{}", report.backwards);
}

#[test]
#[ignore = "about 5 minutes on two cores"]
fn l2_and_l1_on_200_agree_with_the_reference() {
    for (norm, epsilon, expected) in [
        (Norm::L2, 2.0, [79.5, 74.0, 4.0, 3.5]),
        (Norm::L2, 1.0, [96.0, 95.0, 91.5, 91.0]),
        (Norm::L1, 10.0, [21.5, 17.0, 1.0, 1.0]),
        (Norm::L1, 4.0, [83.0, 81.0, 54.5, 54.5]),
    ] {
        let Some(report) = evaluate(200, standard(norm, epsilon)) else { return };
        agrees(&report, &expected, 2.0, &[2.0; 4], 1.0);
    }
}

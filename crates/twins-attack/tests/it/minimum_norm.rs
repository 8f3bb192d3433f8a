//! What DDN, FMN and σ-zero promise besides the paths of their references.

use burn::tensor::{Device, Tensor};
use twins_attack::{
    Attack, AttackOutput, Criterion, DdnConfig, Depth, FmnConfig, Norm, Samples, SigmaZeroConfig, Targets,
    ThreatModel,
};
use twins_attack_testing::{Golden, difference, host};

/// FMN in every norm, with the overshoot that L2 needs, DDN and σ-zero; `scale` is a fraction of a typical distance.
fn attacks(depth: Depth, scale: f32) -> Vec<Box<dyn Attack>> {
    let threat = |norm, epsilon: f32| ThreatModel::new(norm, epsilon * scale).unwrap();
    let typical = [(Norm::Linf, 0.01), (Norm::L2, 0.2), (Norm::L1, 1.0), (Norm::L0, 3.0)];
    let mut all: Vec<Box<dyn Attack>> = Vec::new();
    for (norm, epsilon) in typical {
        let fmn = FmnConfig::new(threat(norm, epsilon)).with_overshoot(1.05).with_depth(depth);
        all.push(Box::new(fmn.build().unwrap()));
    }
    all.push(Box::new(DdnConfig::new(threat(Norm::L2, 0.2)).with_depth(depth).build().unwrap()));
    all.push(Box::new(SigmaZeroConfig::new(threat(Norm::L0, 3.0)).with_depth(depth).build().unwrap()));
    all
}

fn run(attack: &dyn Attack, samples: &Samples) -> AttackOutput {
    let net = Golden::read().net();
    attack.run(&|x: Tensor<4>| net.forward(x), samples).unwrap()
}

fn distances(attack: &dyn Attack, output: &AttackOutput, samples: &Samples) -> Vec<f32> {
    let points = host(output.adversarial.clone());
    let rows = points.chunks(360).enumerate();
    rows.map(|(i, point)| attack.threat_model().distance(samples.image(i), point)).collect()
}

/// The path does not depend on epsilon, so that one run with a large epsilon gives the verdicts at every smaller one.
#[test]
fn one_run_gives_the_whole_robustness_curve() {
    let samples = Golden::read().samples();
    for (far, (near, nearest)) in (attacks(Depth::Nearest, 100.0).into_iter())
        .zip(attacks(Depth::WithinEpsilon, 1.0).into_iter().zip(attacks(Depth::Nearest, 1.0)))
    {
        let name = format!("{} {}", near.name(), near.threat_model());
        let far_output = run(far.as_ref(), &samples);
        assert_eq!(far_output.fooled, [true; 8], "{name}");
        let distances = distances(far.as_ref(), &far_output, &samples);
        let within: Vec<bool> = distances.iter().map(|d| *d <= near.threat_model().epsilon()).collect();
        assert!(within.contains(&true) && within.contains(&false), "{name}: {distances:?}");
        let near_output = run(near.as_ref(), &samples);
        assert_eq!(near_output.fooled, within, "{name}");
        assert_eq!(run(nearest.as_ref(), &samples).fooled, within, "{name}");
        assert!(near_output.forwards < far_output.forwards, "{name}");
        // The clean pass and the check of up to 8 claims, and one more gradient pass over 4 images.
        assert_eq!(far_output.forwards, 8 * far.budget(6) + 8 + 8 + 4, "{name}");
    }
}

#[test]
fn results_do_not_depend_on_the_batch() {
    let samples = Golden::read().samples();
    for attack in attacks(Depth::Nearest, 100.0) {
        let name = format!("{} {}", attack.name(), attack.threat_model());
        let full = run(attack.as_ref(), &samples);
        let split = run(attack.as_ref(), &samples.clone().with_batch_size(3).unwrap());
        assert_eq!(split.fooled, full.fooled, "{name}");
        let [a, b] = [&full, &split].map(|output| distances(attack.as_ref(), output, &samples));
        // The same as for other convolutions in the reference values.
        assert!(difference(&a, &b) < 2e-4, "{name}: {a:?} {b:?}");
    }
}

#[test]
fn targeted_forms_reach_their_targets() {
    let samples = Golden::read().samples();
    let threat = ThreatModel::new(Norm::L2, 100.0).unwrap();
    let target = (Targets::LeastLikely, Criterion::ClassifiedAsTarget);
    let ddn = DdnConfig::new(threat);
    let fmn = FmnConfig::new(threat).with_overshoot(1.05);
    let pairs: [(Box<dyn Attack>, Box<dyn Attack>); 2] = [
        (
            Box::new(ddn.clone().with_targets(target.0).with_criterion(target.1).build().unwrap()),
            Box::new(ddn.build().unwrap()),
        ),
        (
            Box::new(fmn.clone().with_targets(target.0).with_criterion(target.1).build().unwrap()),
            Box::new(fmn.build().unwrap()),
        ),
    ];
    let net = Golden::read().net();
    let clean = host(net.forward(Golden::read().tensor::<4>("images")));
    for (targeted, untargeted) in &pairs {
        assert_eq!(targeted.name(), format!("{}-t", untargeted.name()));
        let output = run(targeted.as_ref(), &samples);
        assert_eq!(output.fooled, [true; 8]);
        for (logits, prediction) in clean.chunks(6).zip(&output.predictions) {
            assert!(logits.iter().all(|z| *z >= logits[*prediction]), "{logits:?} {prediction}");
        }
        let far = distances(targeted.as_ref(), &output, &samples);
        let near = distances(untargeted.as_ref(), &run(untargeted.as_ref(), &samples), &samples);
        // The least likely class is never much nearer than any other, up to what separates two searches.
        assert!(far.iter().zip(&near).all(|(far, near)| far > &(0.95 * near)), "{far:?} {near:?}");
        assert!(far.iter().zip(&near).any(|(far, near)| far > &(1.2 * near)), "{far:?} {near:?}");
    }
}

/// The net does not change around the clean image: a direction has to be drawn, which depends on the seed and on the
/// sample alone.
#[test]
fn ddn_draws_a_direction_where_the_gradient_is_zero() {
    let victim = |x: Tensor<4>| {
        let x = burn::tensor::activation::relu(x.flatten::<2>(1, 3) - 0.75);
        Tensor::cat(vec![x.clone().narrow(1, 0, 1) * 0.0 + 0.05, x.sum_dim(1)], 1)
    };
    let images = Tensor::full([3, 1, 2, 2], 0.5, &Device::flex());
    let samples = Samples::new(images, vec![0; 3]).unwrap().with_ids(vec![5, 6, 7]).unwrap();
    let threat = ThreatModel::new(Norm::L2, 2.0).unwrap();
    let points = |seed, samples: &Samples| {
        let ddn = DdnConfig::new(threat).with_steps(40).with_seed(seed).build().unwrap();
        let output = ddn.run(&victim, samples).unwrap();
        assert_eq!(output.fooled, vec![true; samples.len()]);
        host(output.adversarial)
    };
    let first = points(0, &samples);
    assert_eq!(points(0, &samples.clone().with_batch_size(1).unwrap()), first);
    assert_ne!(points(1, &samples), first);
    assert_ne!(first[..4], first[4..8]);
}

#[test]
fn a_search_begins_at_the_point_given_with_the_sample() {
    let golden = Golden::read();
    let samples = golden.samples();
    let starts = Golden::read().tensor::<4>("images") * 0.9 + 0.05;
    let with_starts = samples.clone().with_starts(starts.clone()).unwrap();
    for attack in attacks(Depth::Nearest, 100.0) {
        let asked = std::sync::Mutex::new(Vec::new());
        let net = golden.net();
        let victim = |x: Tensor<4>| {
            asked.lock().unwrap().push(host(x.clone().inner()));
            net.forward(x)
        };
        attack.run(&victim, &with_starts).unwrap();
        let asked = asked.into_inner().unwrap();
        let mut expected = Vec::new();
        for (i, start) in host(starts.clone()).chunks(360).enumerate() {
            let mut start = start.to_vec();
            attack.threat_model().project(samples.image(i), &mut start);
            expected.extend(start);
        }
        assert!(asked.contains(&expected), "{} {}", attack.name(), attack.threat_model());
    }
}

/// The model decides by the sum of the values. The starting point changes four of them, three of which are enough.
#[test]
fn fmn_in_l0_keeps_most_of_the_starting_point() {
    let victim = |x: Tensor<4>| {
        let sum = x.flatten::<2>(1, 3).sum_dim(1);
        Tensor::cat(vec![sum.clone() * 0.0 + 3.5, sum], 1)
    };
    let device = Device::flex();
    let samples = Samples::new(Tensor::full([1, 1, 1, 6], 0.5, &device), vec![0]).unwrap();
    let start = Tensor::from_floats([[[[0.9, 0.85, 0.8, 0.75, 0.5, 0.5]]]], &device);
    let samples = samples.with_starts(start).unwrap();
    let threat = ThreatModel::new(Norm::L0, 6.0).unwrap();
    for (steps, distance) in [(1, 4.0), (2, 3.0)] {
        let output =
            FmnConfig::new(threat).with_steps(steps).build().unwrap().run(&victim, &samples).unwrap();
        assert_eq!(output.fooled, [true], "{steps} steps");
        assert_eq!(threat.distance(samples.image(0), &host(output.adversarial)), distance, "{steps} steps");
    }
}

#[test]
fn ddn_rounds_a_starting_point_to_the_levels() {
    let victim = |x: Tensor<4>| x.flatten::<2>(1, 3);
    let device = Device::flex();
    let samples = Samples::new(Tensor::from_floats([[[[0.6, 0.3]]]], &device), vec![0]).unwrap();
    let samples = samples.with_starts(Tensor::from_floats([[[[0.2, 0.9]]]], &device)).unwrap();
    let ddn = DdnConfig::new(ThreatModel::new(Norm::L2, 2.0).unwrap()).with_levels(3).with_steps(1);
    let output = ddn.build().unwrap().run(&victim, &samples).unwrap();
    assert_eq!((output.fooled, host(output.adversarial)), (vec![true], vec![0.0, 1.0]));
}

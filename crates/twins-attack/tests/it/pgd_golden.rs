//! PGD against the reference, and its two forms against each other.

use burn::tensor::{Device, Tensor};
use twins_attack::{Attack, Loss, Norm, Pgd, PgdConfig, Returned, Samples, Start, Targets, ThreatModel};
use twins_attack_testing::{Golden, difference, host};

fn threat(norm: Norm) -> ThreatModel {
    let epsilon = match norm {
        Norm::Linf => 0.013,
        Norm::L2 => 0.2,
        Norm::L1 => 1.4,
        Norm::L0 => unreachable!("the reference has no L0"),
    };
    ThreatModel::new(norm, epsilon).unwrap()
}

fn step_size(norm: Norm) -> f32 {
    match norm {
        Norm::Linf => 0.003,
        Norm::L2 => 0.05,
        Norm::L1 => 0.3,
        Norm::L0 => unreachable!("the reference has no L0"),
    }
}

#[test]
fn iterates_are_those_of_the_reference() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), golden.samples());
    let victim = |x: Tensor<4>| net.forward(x);
    // f32 rounding of the logits at size 10; the net is 3 layers deep.
    assert!(difference(&host(net.forward(golden.tensor("images"))), &golden.values("logits")) < 1e-5);
    for (norm, name) in [(Norm::Linf, "pgd_linf.iterates"), (Norm::L2, "pgd_l2.iterates")] {
        let iterates = golden.values(name);
        let size = iterates.len() / 3;
        for (place, steps) in [1, 2, 10].into_iter().enumerate() {
            let pgd = PgdConfig::new(threat(norm), steps, step_size(norm)).build().unwrap();
            let output = pgd.run(&victim, &samples).unwrap();
            let expected = &iterates[place * size..(place + 1) * size];
            // Rounding, except that in Linf a gradient within rounding of zero may have either sign: such a pixel is
            // off by a multiple of the step. None occurs in this case.
            let off = difference(&host(output.adversarial), expected);
            assert!(off < 2e-6, "{name} after {steps} steps: {off}");
            // And a gradient pass over 4 images, which shows that the model is in its inference form.
            let forwards = 8 * (2 + steps as u64) + output.verification.claimed + 4;
            assert_eq!((output.forwards, output.backwards), (forwards, 8 * steps as u64 + 4));
        }
    }
}

fn configurations() -> Vec<Pgd> {
    let mut all = Vec::new();
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let base = PgdConfig::new(threat(norm), 4, step_size(norm));
        all.push(base.clone());
        all.push(base.clone().with_momentum(0.9));
        all.push(base.clone().with_loss(Loss::Margin));
        all.push(base.clone().with_loss(Loss::Dlr).with_targets(Targets::Rank(2)));
        all.push(base.clone().with_targets(Targets::LeastLikely));
        all.push(base.clone().with_eot(2));
        all.push(base.clone().with_start(Start::Uniform).with_seed(3));
        all.push(base.with_start(Start::Gaussian(0.01)).with_loss(Loss::Kl));
    }
    all.into_iter().map(|config| config.build().unwrap()).collect()
}

#[test]
fn the_training_path_makes_the_same_steps() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), golden.samples());
    let victim = |x: Tensor<4>| net.forward(x);
    for pgd in configurations() {
        let run = host(pgd.run(&victim, &samples).unwrap().adversarial);
        let perturbed =
            host(pgd.perturb(&victim, golden.tensor("images"), samples.labels(), samples.ids()).unwrap());
        // Rounding in another order.
        assert!(difference(&run, &perturbed) < 1e-5, "{:?}", pgd.config());
    }
}

#[test]
fn gradients_that_are_not_finite_move_nothing_in_either_path() {
    // The derivative of a root at 0 is infinite, and times the 0 of another factor not a number.
    let victim = |x: Tensor<4>| {
        let x = x.flatten::<2>(1, 3);
        let root = x.clone().narrow(1, 0, 1).sqrt();
        let mixed = x.clone().narrow(1, 1, 1).sqrt() * x.clone().narrow(1, 0, 1);
        Tensor::cat(vec![x.narrow(1, 2, 1), root + mixed], 1)
    };
    let pixels = Tensor::<4>::from_floats([[[[0.0, 0.0, 0.75]]], [[[0.25, 0.0, 0.75]]]], &Device::flex());
    let samples = Samples::new(pixels.clone(), vec![0, 0]).unwrap();
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        for momentum in [0.0, 0.9] {
            let config =
                PgdConfig::new(ThreatModel::new(norm, 0.1).unwrap(), 1, 0.05).with_momentum(momentum);
            let pgd = config.build().unwrap();
            let run = host(pgd.run(&victim, &samples).unwrap().adversarial);
            let perturbed =
                host(pgd.perturb(&victim, pixels.clone(), samples.labels(), samples.ids()).unwrap());
            assert!(
                run.iter().chain(&perturbed).all(|value| value.is_finite()),
                "{norm}: {run:?} {perturbed:?}"
            );
            // Rounding in another order.
            assert!(
                difference(&run, &perturbed) < 1e-6,
                "{norm}, momentum {momentum}: {run:?} {perturbed:?}"
            );
            // The finite values still move: the pixel of the label falls.
            assert!(run[2] < 0.75, "{norm}: {run:?}");
        }
    }
}

#[test]
fn random_starts_belong_to_the_sample() {
    let golden = Golden::read();
    let net = golden.net();
    let victim = |x: Tensor<4>| net.forward(x);
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        for start in [Start::Uniform, Start::Gaussian(0.001)] {
            let pgd = PgdConfig::new(threat(norm), 1, 0.0).with_start(start).build().unwrap();
            let all = host(pgd.run(&victim, &golden.samples()).unwrap().adversarial);
            for batch_size in [1, 3] {
                let samples = golden.samples().with_batch_size(batch_size).unwrap();
                assert_eq!(all, host(pgd.run(&victim, &samples).unwrap().adversarial));
            }
            let other = pgd.config().clone().with_seed(1).build().unwrap();
            assert_ne!(all, host(other.run(&victim, &golden.samples()).unwrap().adversarial));
        }
    }
}

#[test]
fn the_first_run_starts_at_the_clean_image_and_restarts_at_random_points() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), golden.samples());
    let victim = |x: Tensor<4>| net.forward(x);
    // The same points, given with the samples.
    let given = golden.samples().with_starts(golden.tensor("images")).unwrap();
    for (norm, samples) in
        [Norm::Linf, Norm::L2, Norm::L1].into_iter().flat_map(|norm| [(norm, &samples), (norm, &given)])
    {
        // A step of length 0 stays at the start.
        let pgd = PgdConfig::new(threat(norm), 1, 0.0);
        let points = |restarts, seed| {
            let pgd = pgd.clone().with_restarts(restarts).with_seed(seed).build().unwrap();
            host(pgd.run(&victim, samples).unwrap().adversarial)
        };
        assert_eq!(points(1, 0), golden.values("images"), "{norm}");
        // Of 20 starts, the one with the largest loss is returned.
        assert_ne!(points(20, 0), golden.values("images"), "{norm}");
        assert_ne!(points(20, 0), points(20, 1), "{norm}");
    }
}

#[test]
fn restarts_and_early_leaving_never_fool_fewer() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), golden.samples());
    let victim = |x: Tensor<4>| net.forward(x);
    let config = PgdConfig::new(threat(Norm::Linf), 3, 0.003)
        .with_start(Start::Uniform)
        .with_returned(Returned::FirstFooled);
    let mut before = f64::INFINITY;
    for restarts in [1, 4] {
        let attack = config.clone().with_restarts(restarts).build().unwrap();
        let output = attack.run(&victim, &samples).unwrap();
        assert!(output.robust_accuracy() <= before);
        before = output.robust_accuracy();
        for (i, fooled) in output.fooled.iter().enumerate() {
            assert_eq!(*fooled, output.predictions[i] != samples.labels()[i]);
        }
    }
    let most = PgdConfig::fgsm(threat(Norm::Linf)).build().unwrap().run(&victim, &samples).unwrap();
    // A sample that leaves early costs less.
    let early =
        PgdConfig::new(threat(Norm::Linf), 40, 0.003).with_returned(Returned::FirstFooled).build().unwrap();
    let early = early.run(&victim, &samples).unwrap();
    if early.fooled.iter().any(|f| *f) {
        assert!(early.forwards < 8 * 42);
    }
    assert!(early.robust_accuracy() <= most.robust_accuracy());
}

#[test]
fn best_loss_is_at_least_that_of_the_last_iterate() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), golden.samples());
    let victim = |x: Tensor<4>| net.forward(x);
    // Steps as long as the ball is wide overshoot.
    let config = PgdConfig::new(threat(Norm::Linf), 7, 0.026).with_loss(Loss::Margin);
    let margin = |returned| -> Vec<f32> {
        let pgd = config.clone().with_returned(returned).build().unwrap();
        let logits = host(net.forward(pgd.run(&victim, &samples).unwrap().adversarial));
        let rows = logits.chunks(6).zip(samples.labels());
        rows.map(|(z, &y)| (0..6).filter(|&i| i != y).map(|i| z[i] - z[y]).fold(f32::MIN, f32::max)).collect()
    };
    for (best, last) in margin(Returned::BestLoss).iter().zip(margin(Returned::Last)) {
        // The logits are computed again in another batch: rounding.
        assert!(*best >= last - 1e-5);
    }
}

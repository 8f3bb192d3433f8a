//! AutoAttack on the synthetic net: independence of the batch, resumption, the report.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Tensor;
use twins_attack::{
    AttackError, AutoAttackConfig, Evaluation, Norm, Report, RobustnessEvaluation, Samples, Silent,
    ThreatModel, Version, Warning,
};
use twins_attack_testing::{Folder, Golden, Killer, autoattack, evaluate, host, resumable, timeless};

#[test]
fn results_do_not_depend_on_the_batch() {
    let golden = Golden::read();
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let all = evaluate(&golden, &golden.samples(), norm);
        for batch_size in [1, 3] {
            let samples = golden.samples().with_batch_size(batch_size).unwrap();
            let other = evaluate(&golden, &samples, norm);
            // The cost of the checks depends on the size of the first batch; everything else is the same.
            assert_eq!(all.report.samples, other.report.samples, "{norm}");
            let work = |e: &Evaluation| {
                e.report.stages.iter().map(|s| (s.forwards, s.backwards)).collect::<Vec<_>>()
            };
            assert_eq!(work(&all), work(&other), "{norm}");
            assert_eq!(host(all.adversarial.clone()), host(other.adversarial), "{norm}");
        }
    }
}

#[test]
fn results_do_not_depend_on_concurrent_calls() {
    let golden = Golden::read();
    // Each image three times with other draws: enough for three calls at a time.
    let images = Tensor::cat(vec![golden.tensor::<4>("images"); 3], 0);
    let samples = Samples::new(images, golden.indices("label").repeat(3)).unwrap();
    for norm in [Norm::Linf, Norm::L2] {
        let single = evaluate(&golden, &samples.clone().with_concurrent_calls(1), norm);
        let broken = single.report.samples.iter().filter(|sample| sample.broken_by.is_some()).count();
        assert!(broken > 0 && broken < 24, "{broken}");
        for calls in [2, 3] {
            let several = evaluate(&golden, &samples.clone().with_concurrent_calls(calls), norm);
            assert_eq!(timeless(&single), timeless(&several), "{norm}, {calls} calls");
            assert_eq!(host(single.adversarial.clone()), host(several.adversarial), "{norm}, {calls} calls");
        }
    }
}

#[test]
fn results_do_not_depend_on_the_order() {
    let golden = Golden::read();
    let order = [5, 0, 7, 2, 1];
    let rows: Vec<Tensor<4>> = order.iter().map(|&i| golden.tensor::<4>("images").narrow(0, i, 1)).collect();
    let labels = order.iter().map(|&i| golden.indices("label")[i]).collect();
    let shuffled = Samples::new(Tensor::cat(rows, 0), labels).unwrap();
    let shuffled = shuffled.with_ids(order.iter().map(|&i| i as u64).collect()).unwrap();
    let all = evaluate(&golden, &golden.samples(), Norm::Linf).report.samples;
    let some = evaluate(&golden, &shuffled, Norm::Linf).report.samples;
    for (place, &i) in order.iter().enumerate() {
        assert_eq!(some[place], all[i]);
    }
}

#[test]
fn an_interrupted_evaluation_ends_with_the_same_report() {
    let golden = Golden::read();
    let net = golden.net();
    let victim = |x: Tensor<4>| net.forward(x);
    let samples = golden.samples().with_batch_size(3).unwrap();
    let whole = evaluate(&golden, &samples, Norm::L2);
    let killers = [
        Killer::after_outcomes(1),
        Killer::after_outcomes(9),
        Killer::after_batches(1),
        Killer::after_batches(40),
        Killer::after_batches(150),
    ];
    for mut killer in killers {
        let folder = Folder::new();
        let autoattack = resumable(autoattack(Norm::L2), &folder);
        let stopped = autoattack.evaluate(&victim, &samples, &mut killer);
        assert!(matches!(stopped, Err(AttackError::Stopped)));
        let resumed = autoattack.evaluate(&victim, &samples, &mut Silent).unwrap();
        assert_eq!(timeless(&resumed), timeless(&whole));
        assert_eq!(host(resumed.adversarial), host(whole.adversarial.clone()));
    }
    let mut watcher = Killer::after_batches(usize::MAX);
    autoattack(Norm::L2).evaluate(&victim, &samples, &mut watcher).unwrap();
    assert!(watcher.last_fraction > 0.99, "{}", watcher.last_fraction);
}

#[test]
fn resuming_redoes_at_most_two_batches_of_one_attack() {
    let golden = Golden::read();
    let net = golden.net();
    let images = AtomicUsize::new(0);
    let victim = |x: Tensor<4>| {
        images.fetch_add(x.dims()[0], Ordering::Relaxed);
        net.forward(x)
    };
    let work = |run: &mut dyn FnMut()| {
        images.store(0, Ordering::Relaxed);
        run();
        images.load(Ordering::Relaxed)
    };
    let samples = golden.samples().with_batch_size(2).unwrap();
    let whole = work(&mut || {
        autoattack(Norm::L2).evaluate(&victim, &samples, &mut Silent).unwrap();
    });
    for batches_left in [1, 30, 90, 150] {
        let folder = Folder::new();
        let autoattack = resumable(autoattack(Norm::L2), &folder);
        let both = work(&mut || {
            let stopped = autoattack.evaluate(&victim, &samples, &mut Killer::after_batches(batches_left));
            assert!(matches!(stopped, Err(AttackError::Stopped)));
            autoattack.evaluate(&victim, &samples, &mut Silent).unwrap();
        });
        // The clean pass and the checks are made again: 8 images, and 2 twice. Of the attacks, at most what two samples under
        // attack and two whose claims wait to be verified cost: FAB-T's 5 targets of 10 steps with two passes each are the
        // most that an attack makes of one here.
        let most = 4 * 5 * 10 * 2;
        assert!(both - whole <= 8 + 2 * 2 + most, "{} images more", both - whole);
    }
}

#[test]
fn the_report_adds_up() {
    let golden = Golden::read();
    let report = evaluate(&golden, &golden.samples(), Norm::Linf).report;
    let broken = report.samples.iter().filter(|record| record.broken_by.is_some()).count();
    assert_eq!(report.robust.correct + broken, 8);
    assert_eq!(report.stages.last().unwrap().robust, report.robust.correct);
    for record in &report.samples {
        assert_eq!(record.broken_by.is_some(), record.distance.is_some());
        // One rounding of f32.
        assert!(record.distance.is_none_or(|distance| distance <= 0.013 + 1e-6));
    }
    let stages: u64 = report.stages.iter().map(|stage| stage.forwards).sum();
    // The clean pass, the repeated pass, and the gradient check.
    assert_eq!(report.forwards, stages + 3 * 8);
    let [low, high] = report.interval;
    assert!(low <= report.robust.fraction() && report.robust.fraction() <= high);
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["clean"]["total"], 8);
    assert_eq!(json["stages"][0]["attack"], "apgd-ce");
    assert!(json["samples"][0]["broken_by"].is_string() || json["samples"][0]["broken_by"].is_null());
    // Every broken sample was verified in one more pass, which the stages' forwards contain.
    let verified: u64 = report.stages.iter().map(|stage| stage.verification.claimed).sum();
    let clean_errors = report.samples.iter().filter(|s| s.broken_by.as_deref() == Some("clean")).count();
    assert_eq!(verified as usize + clean_errors, broken);
    assert!(report.stages.iter().all(|stage| stage.verification.refuted() == 0));
    assert_eq!(json["stages"][0]["verification"]["forwards"], json["stages"][0]["verification"]["claimed"]);
    assert!(report.to_string().contains("robust accuracy"));
    assert!(report.to_string().starts_with("AutoAttack standard with other settings, Linf 0.013, seed"));
    let config = AutoAttackConfig::new(report.threats[0].threat, Version::Standard);
    let published = Report { config: Some(config), ..report.clone() };
    assert!(published.to_string().starts_with("AutoAttack standard, Linf 0.013, seed 0\n"));
    assert!(report.warnings.contains(&Warning::FewerTargets {
        attack: "apgd-t".into(),
        wanted: 9,
        targets: 5
    }));
}

#[test]
fn suspicious_models_are_reported() {
    let golden = Golden::read();
    let net = golden.net();
    let samples = golden.samples();
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let randomised = |x: Tensor<4>| {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        net.forward(x)
            + (call % 5) as f32
                * Tensor::<2>::from_floats([[0.0, 0.1, 0.2, 0.3, 0.4, 0.5]], &burn::tensor::Device::flex())
    };
    let probabilities = |x: Tensor<4>| burn::tensor::activation::softmax(net.forward(x), 1);
    let rounded = |x: Tensor<4>| net.forward(x).mul_scalar(200.0);
    let warnings = |victim: &(dyn twins_attack::Classifier + Sync)| {
        autoattack(Norm::Linf).evaluate(victim, &samples, &mut Silent).unwrap().report.warnings
    };
    assert!(warnings(&randomised).iter().any(|w| matches!(w, Warning::Randomised { .. })));
    assert!(warnings(&probabilities).contains(&Warning::Probabilities));
    assert!(warnings(&rounded).iter().any(|w| matches!(w, Warning::ZeroGradient { .. })));
}

#[test]
fn a_model_that_hides_its_gradients_is_reported() {
    let golden = Golden::read();
    let net = golden.net();
    let samples = golden.samples();
    // The gradient is that of a single pixel only, so that only the attack without gradients finds adversarial
    // examples.
    let masked = |x: Tensor<4>| {
        let z = net.forward(x.clone());
        if !z.is_tracked() {
            return z;
        }
        let pixel = x.narrow(1, 0, 1).narrow(2, 0, 1).narrow(3, 0, 1).flatten::<2>(1, 3);
        let slope = Tensor::<2>::from_floats([[0.0, 0.1, 0.2, 0.3, 0.4, 0.5]], &z.device());
        Tensor::from_inner(z.inner()) + (pixel.clone() - Tensor::from_inner(pixel.inner())) * slope
    };
    let threat = ThreatModel::new(Norm::Linf, 0.05).unwrap();
    let config = AutoAttackConfig::new(threat, Version::Standard).with_steps(10).with_queries(300);
    let square = |victim: &(dyn twins_attack::Classifier + Sync)| {
        let autoattack = RobustnessEvaluation::autoattack(config.clone()).unwrap();
        let report = autoattack.evaluate(victim, &samples, &mut Silent).unwrap().report;
        report.warnings.into_iter().find(|warning| matches!(warning, Warning::SquareEffective { .. }))
    };
    let warning = square(&masked).expect("Square lowers the figure");
    assert!(matches!(warning, Warning::SquareEffective { samples: 1.., of: 8, .. }), "{warning:?}");
    assert!(warning.to_string().contains("Square"), "{warning}");
    assert!(square(&|x: Tensor<4>| net.forward(x)).is_none());
}

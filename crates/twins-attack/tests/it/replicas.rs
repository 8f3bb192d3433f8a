//! AutoAttack on several replicas of the synthetic net: the results are those of one, also where they are resumed.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Tensor;
use twins_attack::{AttackError, Evaluation, Journal, Norm, Replica, Samples, Silent};
use twins_attack_testing::{Folder, Golden, Killer, autoattack, evaluate, host, resumable, timeless};

/// Three times the images, so that every replica gets some.
fn many(golden: &Golden) -> Samples {
    let images = Tensor::cat(vec![golden.tensor::<4>("images"); 3], 0);
    Samples::new(images, golden.indices("label").repeat(3)).unwrap().with_batch_size(5).unwrap()
}

/// The report without the times and the replicas' checks: of each but the first one plain image, and a gradient pass over
/// four.
fn of_replicas(mut evaluation: Evaluation, replicas: usize) -> String {
    evaluation.report.forwards -= 5 * (replicas as u64 - 1);
    evaluation.report.backwards -= 4 * (replicas as u64 - 1);
    timeless(&evaluation)
}

#[test]
fn results_do_not_depend_on_the_number_of_replicas() {
    let golden = Golden::read();
    let samples = many(&golden);
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let single = evaluate(&golden, &samples, norm);
        let broken = single.report.samples.iter().filter(|sample| sample.broken_by.is_some()).count();
        assert!(broken > 0 && broken < 24, "{broken}");
        for count in [2, 3, 30] {
            // Each of three replicas gets samples of the first stage, and waits for the others with them: they work
            // side by side. Each has made the check of the gradients before.
            let all_here = Barrier::new(count);
            let nets: Vec<_> = (0..count).map(|_| golden.net()).collect();
            let victims: Vec<_> = nets
                .iter()
                .map(|net| {
                    let gradients = AtomicUsize::new(0);
                    let all_here = &all_here;
                    move |x: Tensor<4>| {
                        let second = x.is_tracked() && gradients.fetch_add(1, Ordering::Relaxed) == 1;
                        if second && count <= 3 {
                            all_here.wait();
                        }
                        net.forward(x)
                    }
                })
                .collect();
            let device = samples.device();
            let replicas: Vec<_> =
                victims.iter().map(|victim| Replica::new(victim, device.clone())).collect();
            let shared = autoattack(norm).evaluate_on(&replicas, &samples, &mut Silent).unwrap();
            assert_eq!(host(single.adversarial.clone()), host(shared.adversarial.clone()), "{norm}, {count}");
            assert_eq!(of_replicas(shared, count), timeless(&single), "{norm}, {count}");
        }
    }
}

#[test]
fn an_evaluation_goes_on_with_another_number_of_replicas() {
    let golden = Golden::read();
    let net = golden.net();
    let victim = |x: Tensor<4>| net.forward(x);
    let samples = many(&golden);
    let whole = evaluate(&golden, &samples, Norm::L2);
    let replica = || Replica::new(&victim, samples.device().clone());
    for (first, second) in [(1, 3), (3, 1), (2, 3)] {
        for outcomes in [1, 20, 40] {
            let folder = Folder::new();
            let autoattack = resumable(autoattack(Norm::L2), &folder);
            let mut killer = Killer::after_outcomes(outcomes);
            let stopped = autoattack.evaluate_on(&vec![replica(); first], &samples, &mut killer);
            assert!(matches!(stopped, Err(AttackError::Stopped)));
            assert_eq!(Journal::read(folder.journal()).unwrap().unwrap().outcomes().len(), outcomes);
            let resumed = autoattack.evaluate_on(&vec![replica(); second], &samples, &mut Silent).unwrap();
            assert_eq!(of_replicas(resumed, second), timeless(&whole), "{first} then {second}");
        }
    }
}

#[test]
fn bad_replicas_are_named_and_failures_end_all() {
    let golden = Golden::read();
    let net = golden.net();
    let victim = |x: Tensor<4>| net.forward(x);
    let samples = many(&golden);
    let device = samples.device();
    let evaluate = |replicas: &[Replica<'_>]| {
        autoattack(Norm::Linf).evaluate_on(replicas, &samples, &mut Silent).map(|_| ()).unwrap_err()
    };
    assert!(matches!(evaluate(&[]), AttackError::NoReplica));
    let good = Replica::new(&victim, device.clone());
    let scaled = |x: Tensor<4>| net.forward(x) * 1.01;
    let other = evaluate(&[good.clone(), Replica::new(&scaled, device.clone())]);
    assert!(matches!(other, AttackError::OtherReplica { place: 1, sample: 0 }));
    // It breaks down after a while.
    let images = AtomicUsize::new(0);
    let failing = |x: Tensor<4>| {
        let worn = images.fetch_add(x.dims()[0], Ordering::Relaxed) > 50;
        if worn { net.forward(x) * f32::NAN } else { net.forward(x) }
    };
    let failed = evaluate(&[good, Replica::new(&failing, device.clone())]);
    assert!(matches!(failed, AttackError::Logits { .. }), "{failed}");
}

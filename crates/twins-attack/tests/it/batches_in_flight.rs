//! Several batches in flight on a device, as on a GPU: the results are those of one, to the bit.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Tensor, TensorData};
use twins_attack::{ApgdConfig, Attack, AttackOutput, Norm, PgdConfig, Samples, Start, ThreatModel};
use twins_attack_testing::{Golden, attacks, autoattack, evaluate, host, timeless};

fn samples(golden: &Golden) -> Samples {
    let images = Tensor::cat(vec![golden.tensor::<4>("images"); 2], 0);
    Samples::new(images, golden.indices("label").repeat(2)).unwrap().with_batch_size(3).unwrap()
}

/// All that an attack returns.
fn results(output: AttackOutput) -> (Vec<f32>, Vec<bool>, Vec<usize>, [u64; 2]) {
    let AttackOutput { adversarial, fooled, predictions, forwards, backwards, .. } = output;
    (host(adversarial), fooled, predictions, [forwards, backwards])
}

#[test]
fn results_do_not_depend_on_the_number_of_batches() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), samples(&golden));
    let victim = |x: Tensor<4>| net.forward(x);
    let classes = net.forward(golden.tensor::<4>("images")).dims()[1];
    for (norm, epsilon) in [(Norm::Linf, 0.03), (Norm::L2, 0.3), (Norm::L1, 2.0), (Norm::L0, 4.0)] {
        for attack in attacks(ThreatModel::new(norm, epsilon).unwrap(), classes, 1) {
            let run = |batches| {
                results(attack.run(&victim, &samples.clone().with_batches_in_flight(batches)).unwrap())
            };
            let one = run(1);
            for batches in [2, 3, 50] {
                assert_eq!(run(batches), one, "{} {norm}, {batches} batches", attack.name());
            }
        }
    }
}

#[test]
fn an_evaluation_has_the_same_report() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), samples(&golden));
    let victim = |x: Tensor<4>| net.forward(x);
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let one = evaluate(&golden, &samples, norm);
        let two = samples.clone().with_batches_in_flight(2);
        let two = autoattack(norm).evaluate(&victim, &two, &mut twins_attack::Silent).unwrap();
        assert_eq!(host(two.adversarial.clone()), host(one.adversarial.clone()), "{norm}");
        assert_eq!(timeless(&two), timeless(&one), "{norm}");
    }
}

#[test]
fn two_batches_are_computed_at_the_same_time() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), samples(&golden).with_batches_in_flight(2).with_concurrent_calls(1));
    let both = Barrier::new(2);
    let gradients = AtomicUsize::new(0);
    let victim = |x: Tensor<4>| {
        // The first gradient pass is the check of the model's form. The next two are those of two batches: each waits
        // for the other, for ever if there were only one.
        if x.is_tracked() && (1..=2).contains(&gradients.fetch_add(1, Ordering::Relaxed)) {
            both.wait();
        }
        net.forward(x)
    };
    let fgsm = PgdConfig::fgsm(ThreatModel::new(Norm::Linf, 0.03).unwrap()).build().unwrap();
    let two = results(fgsm.run(&victim, &samples).unwrap());
    let one = samples.with_batches_in_flight(1);
    assert_eq!(two, results(fgsm.run(&|x: Tensor<4>| net.forward(x), &one).unwrap()));
}

/// A randomised model draws in the order of the passes, which stays the same however many of them are made before their
/// logits are read.
#[test]
fn repeated_passes_draw_in_the_same_order() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), samples(&golden));
    let threat = ThreatModel::new(Norm::Linf, 0.03).unwrap();
    let pgd = PgdConfig::new(threat, 3, 0.01).with_start(Start::Uniform).with_eot(5).build().unwrap();
    let apgd = ApgdConfig::new(threat).with_steps(4).with_eot(5).build().unwrap();
    for attack in [Box::new(pgd) as Box<dyn Attack>, Box::new(apgd)] {
        let run = |batches| {
            let pass = AtomicUsize::new(0);
            let victim = |x: Tensor<4>| {
                // Random numbers of a pass: multiples of the golden ratio modulo 1.
                let draw = pass.fetch_add(1, Ordering::Relaxed) as f32 * 0.618_034 % 1.0;
                let [rows, channels, height, width] = x.dims();
                let values = channels * height * width;
                let noise = (0..values).map(|place| 0.02 * (place as f32 * (1.0 + draw)).sin());
                let noise = TensorData::new(noise.collect::<Vec<f32>>(), [1, channels, height, width]);
                let noise =
                    Tensor::<4>::from_data(noise, &x.device()).expand([rows, channels, height, width]);
                net.forward(x + noise)
            };
            results(attack.run(&victim, &samples.clone().with_batches_in_flight(batches)).unwrap())
        };
        let one = run(1);
        assert!(one.3[1] > 5);
        for batches in [2, 3, 7] {
            assert_eq!(run(batches), one, "{}, {batches} passes at a time", attack.name());
        }
    }
}

//! The number of gradients and logits that an attack requests on a sample that it does not fool. `docs/attacks.md`
//! states the traffic that they cause.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor};
use twins_attack::{
    ApgdConfig, Attack, DdnConfig, FabConfig, FmnConfig, Norm, PgdConfig, Samples, SigmaZeroConfig,
    SquareConfig, ThreatModel,
};

/// Calls of the model with and without a gradient, apart from the clean pass and the check of the model's form.
fn queries(attack: &dyn Attack) -> [usize; 2] {
    let calls = [AtomicUsize::new(0), AtomicUsize::new(0)];
    // Class 0 wins whatever the image is.
    let victim = |images: Tensor<4>| {
        calls[usize::from(!images.is_tracked())].fetch_add(1, Ordering::Relaxed);
        let logits = images.flatten::<2>(1, 3);
        logits.clone() + Tensor::<2>::from_floats([[100.0, 0.0, 0.0, 0.0]], &logits.device())
    };
    let image = Tensor::from_floats([[[[0.5, 0.4], [0.3, 0.2]]]], &Device::flex());
    let output = attack.run(&victim, &Samples::new(image, vec![0]).unwrap()).unwrap();
    assert_eq!(output.robust_accuracy(), 1.0);
    let [gradients, logits] = calls.map(AtomicUsize::into_inner);
    [gradients - usize::from(attack.uses_gradients()), logits - 1]
}

#[test]
fn queries_of_a_sample_that_withstands() {
    let threat = |norm| ThreatModel::new(norm, if norm == Norm::L0 { 2.0 } else { 0.25 }).unwrap();
    let [linf, l2, l1, l0] = [Norm::Linf, Norm::L2, Norm::L1, Norm::L0].map(threat);
    let all: [(Box<dyn Attack>, [usize; 2]); 12] = [
        (Box::new(PgdConfig::fgsm(linf).build().unwrap()), [1, 1]),
        (Box::new(PgdConfig::new(linf, 10, 0.1).build().unwrap()), [10, 1]),
        (Box::new(PgdConfig::new(linf, 10, 0.1).with_eot(3).build().unwrap()), [30, 1]),
        (Box::new(ApgdConfig::new(linf).with_steps(10).build().unwrap()), [10, 1]),
        // Three phases.
        (Box::new(ApgdConfig::new(l1).with_steps(10).build().unwrap()), [10, 3]),
        (Box::new(ApgdConfig::new(l2).with_steps(10).with_eot(3).build().unwrap()), [30, 1]),
        // Three other classes. From the seventh point on the first gradient comes with the logits, except at the last.
        (Box::new(FabConfig::new(linf).with_steps(10).build().unwrap()), [30, 7]),
        (Box::new(FabConfig::targeted(l2, 1).with_steps(10).build().unwrap()), [10, 7]),
        (Box::new(SquareConfig::new(l2).with_queries(10).build().unwrap()), [0, 11]),
        (Box::new(DdnConfig::new(l2).with_steps(10).build().unwrap()), [9, 1]),
        (Box::new(FmnConfig::new(l1).with_steps(10).build().unwrap()), [9, 1]),
        (Box::new(SigmaZeroConfig::new(l0).with_steps(10).build().unwrap()), [9, 1]),
    ];
    for (attack, expected) in all {
        assert_eq!(queries(&*attack), expected, "{}", attack.name());
    }
}

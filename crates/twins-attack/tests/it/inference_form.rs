//! A model in its training form is refused by every entry, before it is attacked.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Distribution, Tensor};
use twins_attack::{
    ApgdConfig, Attack, AttackError, AutoAttackConfig, Classifier, Norm, PgdConfig, Replica,
    RobustnessEvaluation, Samples, Silent, SquareConfig, ThreatModel, TrainingSign, Version, accuracy,
    predictions,
};

use crate::batch_norm::Net;

const SHAPE: [usize; 3] = [1, 4, 4];

fn samples(count: usize) -> Samples {
    let device = Device::flex();
    let images = Tensor::random([count, 1, 4, 4], Distribution::Uniform(0.0, 1.0), &device);
    Samples::new(images, vec![0; count]).unwrap().with_batch_size(20).unwrap()
}

/// The samples with labels that the victim sees, so that there is something to attack.
fn seen(victim: &dyn Classifier, count: usize) -> Samples {
    let unlabelled = samples(count);
    let labels = predictions(victim, &unlabelled).unwrap();
    let images: Vec<f32> = (0..count).flat_map(|i| unlabelled.image(i).to_vec()).collect();
    let images = Tensor::<1>::from_floats(&images[..], &Device::flex()).reshape([count, 1, 4, 4]);
    Samples::new(images, labels).unwrap()
}

fn threat() -> ThreatModel {
    ThreatModel::new(Norm::Linf, 0.05).unwrap()
}

type Victim<'a> = &'a (dyn Classifier + Sync);

/// Every entry that a model goes through, and how often it calls it before it refuses.
fn refusals(victim: Victim<'_>, samples: &Samples) -> Vec<(&'static str, TrainingSign, String)> {
    let pgd = || PgdConfig::new(threat(), 3, 0.02).build().unwrap();
    let apgd = ApgdConfig::new(threat()).with_steps(3).with_restarts(2).build().unwrap();
    let rand = RobustnessEvaluation::autoattack(AutoAttackConfig::new(threat(), Version::Rand).with_steps(3))
        .unwrap();
    let evaluation = RobustnessEvaluation::new(vec![Box::new(apgd.clone())]).unwrap();
    let device = samples.device().clone();
    let entries: Vec<(&'static str, Result<(), AttackError>)> = vec![
        ("pgd", pgd().run(victim, samples).map(|_| ())),
        ("apgd", apgd.run(victim, samples).map(|_| ())),
        ("evaluation", evaluation.evaluate(victim, samples, &mut Silent).map(|_| ())),
        (
            "evaluation on devices",
            evaluation.evaluate_on(&[Replica::new(victim, device)], samples, &mut Silent).map(|_| ()),
        ),
        ("rand", rand.evaluate(victim, samples, &mut Silent).map(|_| ())),
    ];
    let refused = |(entry, result): (&'static str, Result<(), AttackError>)| match result {
        Err(AttackError::TrainingMode { sign }) => {
            let text = AttackError::TrainingMode { sign: sign.clone() }.to_string();
            assert!(text.contains("model.valid()"), "{text}");
            (entry, sign, text)
        }
        other => panic!("{entry}: {other:?}"),
    };
    entries.into_iter().map(refused).collect()
}

#[test]
fn batch_norm_on_the_autodiff_device() {
    let net = Net::draw(SHAPE, 3, 0);
    let calls = AtomicUsize::new(0);
    let victim = |x: Tensor<4>| {
        calls.fetch_add(1, Ordering::Relaxed);
        net.forward(x)
    };
    let samples = samples(40);
    let refused = refusals(&victim, &samples);
    assert!(refused.iter().all(|(_, sign, _)| *sign == TrainingSign::Tracked), "{refused:?}");
    // The first plain batch shows it, and no pass is made after it.
    assert_eq!(calls.load(Ordering::Relaxed), refused.len());
    for result in [predictions(&victim, &samples).map(|_| ()), accuracy(&victim, &samples).map(|_| ())] {
        assert!(matches!(result, Err(AttackError::TrainingMode { sign: TrainingSign::Tracked })));
    }
    // Score-based attacks are refused as well.
    let square = SquareConfig::new(threat()).with_queries(3).build().unwrap();
    assert!(matches!(square.run(&victim, &samples), Err(AttackError::TrainingMode { .. })));

    // What the error suggests works, and leaves the running statistics alone.
    let valid = net.valid();
    let victim = |x: Tensor<4>| valid.forward(x);
    let before = [net.bits(), valid.bits()];
    let samples = seen(&victim, 40);
    PgdConfig::new(threat(), 3, 0.02).build().unwrap().run(&victim, &samples).unwrap();
    assert_eq!([net.bits(), valid.bits()], before);
}

/// Without gradients of its own the model is not tracked, and its batch normalisation trains all the same.
#[test]
fn batch_norm_on_the_autodiff_device_without_gradients() {
    let net = Net::draw(SHAPE, 3, 0).no_grad();
    let victim = |x: Tensor<4>| net.forward(x);
    for (entry, sign, _) in refusals(&victim, &samples(40)) {
        assert!(matches!(sign, TrainingSign::Unstable { sample: 0, .. }), "{entry}: {sign:?}");
    }
}

/// A frozen model may stay on the autodiff device: it computes what its inference form does.
#[test]
fn a_frozen_model_is_attacked() {
    let net = Net::draw(SHAPE, 3, 0);
    let (frozen, valid) = (net.clone().freeze(), net.valid());
    let of_valid = |x: Tensor<4>| valid.forward(x);
    let of_frozen = |x: Tensor<4>| frozen.forward(x);
    let samples = seen(&of_valid, 40);
    let before = frozen.bits();
    let pgd = PgdConfig::new(threat(), 3, 0.02).build().unwrap();
    let outputs = [pgd.run(&of_valid, &samples).unwrap(), pgd.run(&of_frozen, &samples).unwrap()];
    assert_eq!(outputs[0].fooled, outputs[1].fooled);
    assert_eq!(frozen.bits(), before);
}

/// A model that was made on a device without autodiff, and never put into its inference form, trains in gradient passes
/// alone.
#[test]
fn batch_norm_that_trains_in_gradient_passes() {
    let device = Device::flex();
    device.seed(0);
    let net = Net::new(SHAPE, 3, &device);
    let gradient = AtomicUsize::new(0);
    let victim = |x: Tensor<4>| {
        gradient.fetch_add(usize::from(x.is_tracked()), Ordering::Relaxed);
        net.forward(x)
    };
    let samples = seen(&victim, 20);
    let refused = refusals(&victim, &samples);
    for (entry, sign, _) in &refused {
        assert!(matches!(sign, TrainingSign::GradientPass { .. }), "{entry}: {sign:?}");
    }
    // One gradient pass each, which is all that moves the running statistics.
    assert_eq!(gradient.load(Ordering::Relaxed), refused.len());

    // As one of several replicas, too.
    let valid = net.valid();
    let good = |x: Tensor<4>| valid.forward(x);
    let samples = seen(&good, 20);
    let apgd = ApgdConfig::new(threat()).with_steps(3).build().unwrap();
    let evaluation = RobustnessEvaluation::new(vec![Box::new(apgd)]).unwrap();
    let replicas = [Replica::new(&good, device.clone()), Replica::new(&victim, device)];
    // Batch statistics again: the running ones are the same for both.
    let refused = evaluation.evaluate_on(&replicas, &samples, &mut Silent).map(|_| ()).unwrap_err();
    assert!(
        matches!(refused, AttackError::TrainingMode { .. } | AttackError::OtherReplica { .. }),
        "{refused}"
    );

    // Without gradient passes it is in its inference form, and stays as it is; the first look takes in what is pending of the
    // passes before.
    net.bits();
    let before = net.bits();
    let square = SquareConfig::new(threat()).with_queries(3).build().unwrap();
    assert_eq!(square.run(&victim, &seen(&victim, 20)).unwrap().fooled.len(), 20);
    assert_eq!(net.bits(), before);
}

#[derive(Module, Debug)]
struct Dropping {
    net: Net,
    dropout: Dropout,
}

impl Dropping {
    fn new(device: &Device) -> Self {
        Self { net: Net::new(SHAPE, 3, device), dropout: DropoutConfig::new(0.5).init() }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.net.forward(self.dropout.forward(images))
    }
}

#[test]
fn active_dropout() {
    // Batch normalisation in its inference form, so that the dropout alone is to be seen.
    let plain = Device::flex();
    let net = Dropping { net: Net::draw(SHAPE, 3, 0).valid(), ..Dropping::new(&plain) };
    let victim = |x: Tensor<4>| net.forward(x);
    for (entry, sign, _) in refusals(&victim, &seen(&victim, 20)) {
        assert!(matches!(sign, TrainingSign::GradientPass { .. }), "{entry}: {sign:?}");
    }
    // On the autodiff device without gradients: active in plain passes, too.
    let net = Dropping { net: Net::draw(SHAPE, 3, 0).freeze(), ..Dropping::new(&plain) };
    let victim = |x: Tensor<4>| net.forward(Tensor::from_inner(x.inner()));
    for (entry, sign, _) in refusals(&victim, &samples(20)) {
        assert!(matches!(sign, TrainingSign::Unstable { .. }), "{entry}: {sign:?}");
    }
    let valid = net.valid();
    let victim = |x: Tensor<4>| valid.forward(x);
    let pgd = PgdConfig::new(threat(), 3, 0.02).build().unwrap();
    assert_eq!(pgd.run(&victim, &seen(&victim, 20)).unwrap().fooled.len(), 20);
}

/// Random in plain passes, so by its nature: `rand` attacks it.
#[test]
fn a_randomised_model_is_attacked() {
    let valid = Net::draw(SHAPE, 3, 0).valid();
    let victim = |x: Tensor<4>| {
        let noise = Tensor::random(x.dims(), Distribution::Normal(0.0, 0.3), &x.device());
        valid.forward(x + noise)
    };
    let samples = seen(&victim, 20);
    let rand = RobustnessEvaluation::autoattack(
        AutoAttackConfig::new(threat(), Version::Rand).with_steps(3).with_eot(2),
    )
    .unwrap();
    let report = rand.evaluate(&victim, &samples, &mut Silent).unwrap().report;
    assert_eq!(report.samples.len(), 20);
    let pgd = PgdConfig::new(threat(), 3, 0.02).with_eot(2).build().unwrap();
    assert_eq!(pgd.run(&victim, &samples).unwrap().fooled.len(), 20);
}

/// A function of tensors has no `valid()`: weights without gradients on the autodiff device are fine.
#[test]
fn weights_without_a_module() {
    let device = Device::flex();
    let weight = Tensor::<2>::random([16, 3], Distribution::Normal(0.0, 1.0), &device);
    let model = |weight: Tensor<2>| move |x: Tensor<4>| x.flatten::<2>(1, 3).matmul(weight.clone());
    let pgd = PgdConfig::new(threat(), 3, 0.02).build().unwrap();
    let plain = model(weight.clone());
    let samples = seen(&plain, 20);
    let expected = pgd.run(&plain, &samples).unwrap().fooled;
    let constant = model(weight.clone().autodiff());
    assert_eq!(pgd.run(&constant, &samples).unwrap().fooled, expected);
    let tracked = model(weight.autodiff().require_grad());
    let error = pgd.run(&tracked, &samples).unwrap_err().to_string();
    assert!(error.contains("tensor.inner()"), "{error}");
}

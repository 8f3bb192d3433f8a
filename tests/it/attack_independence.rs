//! Verdicts on the real adversarially trained MNIST network do not depend on the batch size or the order.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use burn_twins::attack::{
    AutoAttackConfig, Norm, RobustnessEvaluation, Samples, Silent, ThreatModel, Version,
};
use burn_twins::models::Net;
use twins_testing::shared;

use crate::robust_mnist::{load, victim};

/// By which attack each image was broken.
type Verdicts = BTreeMap<u64, Option<String>>;

/// The standard attacks, and with fewer steps and queries.
fn standard(norm: Norm, epsilon: f32) -> AutoAttackConfig {
    AutoAttackConfig::new(ThreatModel::new(norm, epsilon).unwrap(), Version::Standard)
}

fn shortened(norm: Norm, epsilon: f32) -> AutoAttackConfig {
    standard(norm, epsilon).with_steps(8).with_queries(40)
}

fn verdicts(net: &Net, samples: &Samples, config: &AutoAttackConfig) -> Verdicts {
    let report = RobustnessEvaluation::autoattack(config.clone())
        .unwrap()
        .evaluate(&victim(net), samples, &mut Silent)
        .unwrap()
        .report;
    report.samples.into_iter().map(|sample| (sample.index, sample.broken_by)).collect()
}

/// Numbers 0 to n - 1 in another order: a step that has no divisor in common with n visits each once.
fn shuffled(n: usize) -> Vec<usize> {
    (0..n).map(|i| (i * 367 + 11) % n).collect()
}

/// Compares batch sizes, one call at a time with several, and an order, on the first `n` images.
fn compare(n: usize, batch_sizes: &[usize], config: &AutoAttackConfig) {
    let Some((net, samples)) = load(shared, &(0..n).collect::<Vec<_>>()) else { return };
    let (_, other_order) = load(shared, &shuffled(n)).unwrap();
    let mut cases = vec![("other order".to_string(), other_order)];
    for size in batch_sizes {
        cases.push((format!("batch size {size}"), samples.clone().with_batch_size(*size).unwrap()));
    }
    cases.push(("one call at a time".to_string(), samples.clone().with_concurrent_calls(1)));
    let expected = verdicts(&net, &samples, config);
    let broken = expected.values().filter(|by| by.is_some()).count();
    assert!(broken > 0 && broken < n, "{broken} of {n} broken: nothing to compare");
    for (name, samples) in cases {
        let found = verdicts(&net, &samples, config);
        assert_eq!(found.len(), n);
        let other = expected.iter().filter(|(i, by)| by.is_some() != found[i].is_some()).count();
        let by_other = expected.iter().filter(|(i, by)| **by != found[i]).count();
        println!("{n} images, {broken} broken, {name}: {other} other verdicts, {by_other} by another attack");
        // The draws are the same, the model's rounding is not: the project's bar.
        assert!(other <= 3, "{name}: {other}");
    }
}

#[test]
fn verdicts_are_the_same_for_every_batch() {
    compare(60, &[7, 30], &shortened(Norm::Linf, 0.3));
    compare(60, &[7], &shortened(Norm::L2, 2.0));
}

#[test]
#[ignore = "six evaluations of 1000 images: about half an hour on two cores"]
fn verdicts_on_1000_are_the_same_for_every_batch() {
    compare(1000, &[7, 100, 500], &standard(Norm::Linf, 0.3));
}

#[test]
fn attacks_leave_both_wings_alone() {
    use burn::module::Module;
    use burn::tensor::{Device, Distribution};
    use burn_twins::models::{Architecture, ModelCard, ModelConfig, save_model};

    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let net = ModelConfig::new(Architecture::TinyResNet, 4).init(&device.clone().autodiff()).unwrap();
    let net = net.valid();
    let card = ModelCard::new(&net, ["a", "b", "c", "d"].map(String::from).to_vec()).unwrap();
    // Both wings' parameters and statistics by name.
    let tensors = || -> BTreeMap<String, Vec<u8>> {
        let path = folder.path().join("net.safetensors");
        save_model(&path, &net, &card).unwrap();
        let bytes = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect()
    };
    let before = tensors();
    assert!(before.keys().any(|name| name.contains("frozen_")), "{:?}", before.keys());
    let images = Tensor::random([12, 3, 32, 32], Distribution::Uniform(0.0, 1.0), &device);
    let seen = burn_twins::attack::predictions(
        &|images: Tensor<4>| net.forward(images),
        &Samples::new(images.clone(), vec![0; 12]).unwrap(),
    );
    let samples = Samples::new(images, seen.unwrap()).unwrap();
    let threat = ThreatModel::new(Norm::Linf, 1e-4).unwrap();
    let config = AutoAttackConfig::new(threat, Version::Standard).with_steps(3).with_queries(5);
    let autoattack = RobustnessEvaluation::autoattack(config).unwrap();
    autoattack.evaluate(&|x: Tensor<4>| net.forward(x), &samples, &mut Silent).unwrap();
    assert!(tensors() == before);
}

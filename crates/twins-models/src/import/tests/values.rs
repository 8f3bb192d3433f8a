//! The values that an import gives a network.

use burn::tensor::Device;

use crate::architectures::golden::{golden, images, reduced, reduced_net};
use crate::import::load::load_weights;
use crate::import::options::ImportOptions;
use crate::import::tests::{load, logits};

#[test]
fn an_import_does_not_touch_clones() {
    let device = Device::flex();
    let net = reduced_net("cifar", &device);
    let clone = net.clone();
    let before = logits(&clone, "cifar");
    let (loaded, _) = load_weights(net, golden("torch/cifar.safetensors"), &ImportOptions::new()).unwrap();
    assert_ne!(logits(&loaded, "cifar"), before);
    assert_eq!(logits(&clone, "cifar"), before);
}

#[test]
fn allowed_entries_keep_their_initial_values() {
    let device = Device::flex();
    let net = reduced_net("cifar", &device).with_new_head(7, 3).unwrap();
    let head = net.body().head().weight.val().into_data();
    let options = ImportOptions::new().with_allow("linear.*");
    let (net, report) = load_weights(net, golden("torch/cifar.safetensors"), &options).unwrap();
    assert_eq!(report.kept, ["head.weight", "head.bias"]);
    assert_eq!(net.body().head().weight.val().into_data(), head);
    assert_eq!(net.num_classes(), 7);
}

#[test]
fn negative_variances_are_refused_by_name() {
    let file = std::fs::read(golden("torch/cifar.safetensors")).unwrap();
    let parsed = safetensors::SafeTensors::deserialize(&file).unwrap();
    let key = "layer1.0.bn1.running_var";
    let start = parsed.tensor(key).unwrap().data().as_ptr() as usize - file.as_ptr() as usize;
    let mut damaged = file.clone();
    damaged[start..start + 4].copy_from_slice(&(-0.5f32).to_le_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.safetensors");
    std::fs::write(&path, damaged).unwrap();
    let message = load("cifar", &path, &ImportOptions::new()).unwrap_err().to_string();
    assert!(message.contains(key) && message.contains("negative variance, -0.5"), "{message}");
}

#[test]
fn weights_reach_a_tracked_network_as_tracked_parameters() {
    let device = Device::flex().autodiff();
    let net = reduced_net("cifar", &device);
    let (net, _) = load_weights(net, golden("torch/cifar.safetensors"), &ImportOptions::new()).unwrap();
    assert!(net.body().head().weight.val().is_require_grad());
    let grads = net.forward(images(reduced("cifar").2, &device)).sum().backward();
    assert!(net.body().head().weight.val().grad(&grads).is_some());
}

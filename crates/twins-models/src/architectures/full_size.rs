//! Comparison with PyTorch and torchvision at the published sizes, as described in `tests/golden/full_size`.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::Device;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use twins_testing::peak;

use crate::architectures::architecture::Architecture;
use crate::architectures::golden::{golden, images};
use crate::architectures::naming::Naming;
use crate::architectures::shortcuts::Shortcuts;
use crate::import::load::load_weights;
use crate::import::options::ImportOptions;
use crate::network::config::ModelConfig;
use crate::network::slots::{Slot, slots};

/// The generator's hash in [0, 1): 32-bit arithmetic, the finaliser of MurmurHash3.
fn uniform(seed: u32, index: u32) -> f64 {
    let mut x = index.wrapping_mul(0x9E37_79B1).wrapping_add(seed);
    x ^= x >> 16;
    x = x.wrapping_mul(0x85EB_CA6B);
    x ^= x >> 13;
    x = x.wrapping_mul(0xC2B2_AE35);
    x ^= x >> 16;
    f64::from(x >> 8) / f64::from(1 << 24)
}

/// The generator's values of an entry, as bytes.
fn hashed(name: &str, shape: &[usize]) -> Vec<u8> {
    let seed =
        name.bytes().fold(0x811C_9DC5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let count = shape.iter().product::<usize>();
    let (parameter, rank) = (name.rsplit('.').next().unwrap(), shape.len());
    let scale = (6.0 / (count / shape[0]) as f64).sqrt();
    let value = |u: f64| match parameter {
        _ if rank > 1 => (2.0 * u - 1.0) * scale,
        "running_var" => 0.5 + u,
        "weight" => 0.2 + 0.4 * u,
        _ => 0.4 * u - 0.2,
    };
    (0..count as u32).flat_map(|index| (value(uniform(seed, index)) as f32).to_le_bytes()).collect()
}

/// A file of all entries that the published network has, each hashed; returns the number of parameters.
fn write_weights(path: &Path, naming: Naming, slots: &[Slot]) -> usize {
    let plain = slots.iter().filter(|slot| slot.adaptive_path().is_none());
    let entries: Vec<(String, Vec<usize>, Vec<u8>)> = plain
        .map(|slot| {
            let (name, shape) = (naming.key(&slot.path), slot.file_shape());
            let bytes = hashed(&name, &shape);
            (name, shape, bytes)
        })
        .collect();
    let views = entries
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
    let parameters = entries.iter().filter(|(name, ..)| !name.contains(".running_"));
    parameters.map(|(_, _, bytes)| bytes.len() / 4).sum()
}

fn check(name: &str) {
    let device = Device::flex();
    let file = std::fs::read(golden("full_size/expected.safetensors")).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
    let counts: &HashMap<String, String> = metadata.metadata().as_ref().unwrap();
    let expected = SafeTensors::deserialize(&file).unwrap().tensor(name).unwrap().data().to_vec();
    let expected: Vec<f32> =
        expected.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();

    let (arch, shortcuts) = match name.strip_suffix("+projected") {
        Some(arch) => (arch, Some(Shortcuts::Projected)),
        None => (name, None),
    };
    let arch: Architecture = arch.parse().unwrap();
    let config = ModelConfig::new(arch, expected.len()).with_normalisation(None).with_shortcuts(shortcuts);
    let net = config.init(&device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let parameters = write_weights(&path, net.namings()[0], &slots(net.body()));
    assert_eq!(parameters.to_string(), counts[name], "parameters of {name}");

    let length = std::fs::metadata(&path).unwrap().len() as usize;
    let (loaded, allocated) = peak(|| load_weights(net, &path, &ImportOptions::new()));
    println!("{name}: a file of {} MiB took {} MiB to load", length >> 20, allocated >> 20);
    assert!(allocated <= 4 * length + (64 << 20), "{name}: {allocated} bytes for a file of {length}");
    let (net, _) = loaded.unwrap();
    let [channels, height, width] = arch.input_shape();
    let found = net.forward(images([1, channels, height, width], &device));
    let found = found.into_data().try_to_vec::<f32>().unwrap();
    let largest = expected.iter().fold(1.0f32, |largest, logit| largest.max(logit.abs()));
    let difference =
        found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
    println!("{name}: {parameters} parameters, largest difference {difference:.1e} of {largest:.2}");
    // The bound; sums of up to 18 432 products in another order than PyTorch's give some 1e-6.
    assert!(difference < 1e-4 * largest, "{name}: {difference}");
}

#[test]
fn resnets_agree_with_torchvision_at_full_size() {
    for name in ["resnet18", "resnet50"] {
        check(name);
    }
}

#[test]
fn cifar_networks_agree_with_pytorch_at_full_size() {
    for name in [
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
        "resnet20+projected",
        "resnet32+projected",
        "resnet44+projected",
        "resnet56+projected",
        "resnet18-cifar",
        "preact-resnet18",
    ] {
        check(name);
    }
}

#[test]
fn convnext_agrees_with_torchvision_at_full_size() {
    check("convnext-tiny");
}

/// The other networks take minutes and up to 5 GB: `cargo test … --lib full_size -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes and 5 GB"]
fn every_network_agrees_with_pytorch_at_full_size() {
    for name in [
        "resnet34",
        "resnet101",
        "resnet152",
        "wide-resnet50-2",
        "wide-resnet50-4",
        "resnext50-32x4d",
        "wrn-28-10",
        "wrn-34-10",
        "dm-wrn-28-10-swish",
        "wrn-70-16",
    ] {
        check(name);
    }
}

//! Comparison with PyTorch on the files of `tests/golden/torch`, which contain reduced networks.

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use twins_nn::{Affine, TwinsModule, Wing};

use crate::architectures::architecture::Architecture;
use crate::architectures::convnext::{ConvNeXtSpec, ConvNeXtStage};
use crate::architectures::mnist_cnn::MnistCnnSpec;
use crate::architectures::resnet::{ResNetSpec, Stage, Stem};
use crate::architectures::spec::BodySpec;
use crate::blocks::activation::Activation;
use crate::blocks::block::BlockKind;
use crate::blocks::shortcut::ShortcutKind;
use crate::import::load::load_weights;
use crate::import::options::ImportOptions;
use crate::network::config::ModelConfig;
use crate::network::net::Net;
use crate::network::slots::values;
use crate::network::upsample::upsample_nearest;

/// A path below `tests/golden`.
pub(crate) fn golden(path: &str) -> PathBuf {
    twins_testing::repository().join("crates/twins-models/tests/golden").join(path)
}

fn stages(sizes: &[(usize, usize, usize)]) -> Vec<Stage> {
    sizes.iter().map(|&(width, blocks, stride)| Stage { width, blocks, stride }).collect()
}

fn residual(
    stem: Stem,
    block: BlockKind,
    shortcut: ShortcutKind,
    sizes: &[(usize, usize, usize)],
) -> BodySpec {
    let affine = Affine::PerWing;
    BodySpec::ResNet(ResNetSpec { stem, stem_width: 4, block, shortcut, stages: stages(sizes), affine })
}

/// A reduced network of the generator: the architecture whose entry names it uses, its layers, and the shape of the
/// images.
pub(crate) fn reduced(name: &str) -> (Architecture, BodySpec, [usize; 4]) {
    use BlockKind as B;
    use ShortcutKind as S;
    let four = [(4, 2, 1), (6, 1, 2), (8, 1, 2), (8, 1, 2)];
    let bottlenecks = [(2, 2, 1), (4, 1, 2), (4, 1, 2), (6, 1, 2)];
    let bottleneck = |groups, group_width| {
        residual(Stem::ImageNet, B::Bottleneck { groups, group_width }, S::Projected, &bottlenecks)
    };
    let (small, large) = ([4, 3, 16, 16], [4, 3, 64, 64]);
    match name {
        "mnist_cnn" => (
            Architecture::MnistCnn,
            BodySpec::MnistCnn(MnistCnnSpec { channels: [2, 4], hidden: 8 }),
            [4, 1, 28, 28],
        ),
        "cifar" => {
            let sizes = [(4, 2, 1), (8, 2, 2), (14, 1, 2)];
            (Architecture::ResNet20, residual(Stem::Small, B::Basic, S::Padded, &sizes), small)
        }
        // Its shortcuts are found in the file.
        "projected" => reduced("cifar"),
        "strided" => {
            let sizes = [(4, 1, 1), (8, 1, 2), (12, 1, 2)];
            (Architecture::TinyResNet, residual(Stem::Strided, B::Basic, S::Padded, &sizes), small)
        }
        "basic" => (Architecture::ResNet18, residual(Stem::ImageNet, B::Basic, S::Projected, &four), large),
        "small_stem" => {
            (Architecture::ResNet18Cifar, residual(Stem::Small, B::Basic, S::Projected, &four), small)
        }
        "bottleneck" => (Architecture::ResNet50, bottleneck(1, 64), large),
        "wide_bottleneck" => (Architecture::WideResNet50x2, bottleneck(1, 128), large),
        "grouped" => (Architecture::ResNeXt50, bottleneck(2, 32), large),
        "preact" => (
            Architecture::PreActResNet18,
            residual(Stem::Small, B::PreActivation, S::Convolved, &four),
            small,
        ),
        "wide" => {
            let sizes = [(8, 2, 1), (10, 2, 2), (12, 1, 2)];
            let arch = Architecture::WideResNet { depth: 10, width: 1 };
            (arch, residual(Stem::Small, B::PreActivation, S::Convolved, &sizes), small)
        }
        "deepmind" => {
            let sizes = [(6, 1, 1), (8, 2, 2), (10, 1, 2)];
            let activation = Activation::Swish;
            let arch = Architecture::DeepMindWideResNet { depth: 10, width: 1, activation };
            let block = B::SamePreActivation { activation };
            (arch, residual(Stem::Small, block, S::Convolved, &sizes), small)
        }
        "convnext" => {
            let stage = |(width, blocks)| ConvNeXtStage { width, blocks };
            let stages = [(4, 1), (6, 2), (8, 1), (10, 1)].into_iter().map(stage).collect();
            (Architecture::ConvNeXtTiny, BodySpec::ConvNeXt(ConvNeXtSpec { stages }), large)
        }
        other => panic!("no reduced network {other}"),
    }
}

pub(crate) const NAMES: [&str; 13] = [
    "mnist_cnn",
    "cifar",
    "basic",
    "small_stem",
    "bottleneck",
    "wide_bottleneck",
    "grouped",
    "preact",
    "wide",
    "strided",
    "deepmind",
    "projected",
    "convnext",
];

/// A reduced network with initial weights.
pub(crate) fn reduced_net(name: &str, device: &Device) -> Net {
    let (arch, spec, [_, _, height, width]) = reduced(name);
    let config = ModelConfig::new(arch, 5).with_normalisation(None).with_image_size([height, width]);
    Net::new(spec, config, device)
}

/// The generator's images: a hash of the pixel's index.
pub(crate) fn images<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let pixels = (0..shape.iter().product::<usize>() as u64)
        .map(|index| (((index * 2_654_435_761 + 12_345) % (1 << 32)) >> 8) as f32 / (1 << 24) as f32)
        .collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(pixels, shape), device)
}

struct Expected(Vec<u8>);

impl Expected {
    fn read() -> Self {
        Self(std::fs::read(golden("torch/expected.safetensors")).unwrap())
    }

    fn get(&self, key: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(key).unwrap_or_else(|error| panic!("{key}: {error}"));
        view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }
}

/// Largest difference relative to the larger of 1 and the expected value.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max)
}

// Sums of up to 500 products in another order than PyTorch's: rounding of 1e-6 times the
// logits' size was seen; batch statistics of 16 values add a digit.
const TOLERANCE: f32 = 1e-4;

#[test]
fn logits_agree_with_pytorch_in_evaluation_and_training() {
    let device = Device::flex();
    let expected = Expected::read();
    for name in NAMES {
        let (_, _, shape) = reduced(name);
        let file = golden(&format!("torch/{name}.safetensors"));
        let (net, _) = load_weights(reduced_net(name, &device), file, &ImportOptions::new()).unwrap();
        let logits = net.forward(images(shape, &device)).into_data().try_to_vec::<f32>().unwrap();
        let error = difference(&logits, &expected.get(&format!("{name}/eval")));
        assert!(error < TOLERANCE, "{name} in evaluation: {error}");

        // Batch statistics are taken on tracked devices alone.
        let net = net.train().with_wing(Wing::AdaptiveTraining);
        let logits =
            net.forward(images(shape, &device.clone().autodiff())).into_data().try_to_vec::<f32>().unwrap();
        let error = difference(&logits, &expected.get(&format!("{name}/train")));
        assert!(error < TOLERANCE, "{name} in training: {error}");

        let naming = net.namings()[0];
        for (path, data) in
            values(&net.body().valid()).into_iter().filter(|(path, _)| path.contains(".running_"))
        {
            let found = data.try_to_vec::<f32>().unwrap();
            let error = difference(&found, &expected.get(&format!("{name}/after/{}", naming.key(&path))));
            assert!(error < TOLERANCE, "{name}, {path} after a training batch: {error}");
        }
    }
}

#[test]
fn both_wings_compute_the_same_after_an_import() {
    let device = Device::flex();
    let file = golden("torch/bottleneck.safetensors");
    let (net, report) =
        load_weights(reduced_net("bottleneck", &device), file, &ImportOptions::new()).unwrap();
    let shape = reduced("bottleneck").2;
    let adaptive = net.forward(images(shape, &device)).into_data().try_to_vec::<f32>().unwrap();
    let frozen =
        net.with_wing(Wing::Frozen).forward(images(shape, &device)).into_data().try_to_vec::<f32>().unwrap();
    // The same arithmetic on the same values.
    assert_eq!(adaptive, frozen);
    assert_eq!(report.copied_to_frozen, 4 * 20, "{report}");
}

#[test]
fn upsampling_agrees_with_pytorch() {
    let device = Device::flex();
    let expected = Expected::read();
    for (size, key) in [([7, 9], "upsample/7x9"), ([12, 8], "upsample/12x8")] {
        let found =
            upsample_nearest(images([1, 3, 4, 4], &device), size).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(found, expected.get(key));
    }
}

#[test]
fn upsampling_and_normalisation_are_part_of_the_model() {
    let device = Device::flex();
    let (arch, spec, _) = reduced("bottleneck");
    let config = ModelConfig::new(arch, 5).with_image_size([16, 16]).with_upsampling(Some([64, 64]));
    let net = Net::new(spec.clone(), config, &device);
    let plain = Net::new(spec, ModelConfig::new(arch, 5).with_normalisation(None), &device);
    let x = images([2, 3, 16, 16], &device);
    let prepared = crate::network::normalisation::Normalisation::imagenet()
        .forward(upsample_nearest(x.clone(), [64, 64]));
    assert_eq!(
        net.forward(x).into_data().try_to_vec::<f32>().unwrap(),
        plain.forward(prepared).into_data().try_to_vec::<f32>().unwrap()
    );
}

#[test]
fn the_generated_files_stay_within_their_budget() {
    let files = std::fs::read_dir(golden("torch")).unwrap().map(|file| file.unwrap().path());
    let weights = files.filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"));
    assert!(weights.map(|path| path.metadata().unwrap().len()).sum::<u64>() < 380_000);
}

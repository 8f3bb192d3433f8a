//! The real adversarially trained MNIST network and its test images.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use burn_twins::attack::Samples;
use burn_twins::data::{MnistDataset, Part, collate};
use burn_twins::models::{Architecture, ImportOptions, ModelConfig, Net, load_weights};

/// The network and the images with these indices; `None` where `TWINS_SHARED` is not set.
pub fn load(
    shared: impl Fn(&str) -> Option<std::path::PathBuf>,
    indices: &[usize],
) -> Option<(Net, Samples)> {
    load_to(shared, indices, &Device::flex())
}

/// The same on a device.
pub fn load_to(
    shared: impl Fn(&str) -> Option<std::path::PathBuf>,
    indices: &[usize],
    device: &Device,
) -> Option<(Net, Samples)> {
    let weights = shared("models/mnist_pgd_robust.pth")?;
    let images = shared("data/t10k-images-idx3-ubyte.gz")?;
    let net = ModelConfig::new(Architecture::MnistCnn, 10).init(device).unwrap();
    let (net, _) = load_weights(net, &weights, &ImportOptions::new()).unwrap();
    Some((net, samples(images.parent().unwrap(), indices, device)))
}

fn samples(folder: &Path, indices: &[usize], device: &Device) -> Samples {
    let dataset = MnistDataset::open(folder, Part::Test).unwrap();
    let batch = collate(&dataset, indices, None, device).unwrap();
    Samples::new(batch.images, batch.labels).unwrap().with_ids(batch.ids).unwrap()
}

/// The network as a victim.
pub fn victim(net: &Net) -> impl Fn(Tensor<4>) -> Tensor<2> + '_ {
    |images| net.forward(images)
}

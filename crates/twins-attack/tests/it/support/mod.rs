//! The synthetic net and its golden values (see `tests/golden/synthetic_attacks/README.md`).

pub mod attacks;
pub mod ensemble;
pub mod temporary;

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use twins_attack::{Classifier, Samples};

pub struct Golden {
    bytes: Vec<u8>,
    device: Device,
}

impl Golden {
    pub fn read() -> Self {
        Self::read_to(Device::flex())
    }

    pub fn read_to(device: Device) -> Self {
        Self::open("synthetic_attacks", device)
    }

    /// The values of another file that belong to the same net and images.
    pub fn open(name: &str, device: Device) -> Self {
        // The root package's tests include this file too.
        let crate_folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = format!("tests/golden/{name}/{name}.safetensors");
        let path = [crate_folder.join(&file), crate_folder.join("crates/twins-attack").join(&file)]
            .into_iter()
            .find(|path| path.exists())
            .expect("the golden file is part of the repository");
        Self { bytes: std::fs::read(path).unwrap(), device }
    }

    /// Bytes as multiples of 1/255.
    pub fn levels(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name).unwrap().data().iter().map(|&byte| f32::from(byte) / 255.0).collect()
    }

    fn words(&self, name: &str) -> (Vec<usize>, Vec<[u8; 4]>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("no entry {name}"));
        let words = view.data().chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect();
        (view.shape().to_vec(), words)
    }

    pub fn values(&self, name: &str) -> Vec<f32> {
        self.words(name).1.into_iter().map(f32::from_le_bytes).collect()
    }

    pub fn indices(&self, name: &str) -> Vec<usize> {
        self.words(name).1.into_iter().map(|w| i32::from_le_bytes(w) as usize).collect()
    }

    pub fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let shape = self.words(name).0;
        Tensor::from_data(TensorData::new(self.values(name), shape), &self.device)
    }

    pub fn samples(&self) -> Samples {
        Samples::new(self.tensor("images"), self.indices("label")).unwrap()
    }

    pub fn net(&self) -> Net {
        Net {
            conv1: (self.tensor("weights.conv1.weight"), self.tensor("weights.conv1.bias")),
            conv2: (self.tensor("weights.conv2.weight"), self.tensor("weights.conv2.bias")),
            fc: (self.tensor::<2>("weights.fc.weight").transpose(), self.tensor("weights.fc.bias")),
        }
    }
}

pub struct Net {
    conv1: (Tensor<4>, Tensor<1>),
    conv2: (Tensor<4>, Tensor<1>),
    fc: (Tensor<2>, Tensor<1>),
}

impl Net {
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let conv = |x, (weight, bias): &(Tensor<4>, Tensor<1>), stride| {
            let options = ConvOptions::new([stride, stride], [1, 1], [1, 1], 1);
            burn::tensor::activation::relu(conv2d(x, weight.clone(), Some(bias.clone()), options))
        };
        let features = conv(conv(images, &self.conv1, 1), &self.conv2, 2);
        features.flatten::<2>(1, 3).matmul(self.fc.0.clone()) + self.fc.1.clone().unsqueeze()
    }
}

pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

/// What a logit may change by when its image goes through the model in another batch: roundings at size 10.
pub const ROUNDING: f32 = 1e-5;

/// `max_{i≠y} z_i - z_y` of each image in a plain forward pass: positive where the model misclassifies it.
pub fn margins(victim: &dyn Classifier, images: Tensor<4>, labels: &[usize]) -> Vec<f32> {
    let logits = victim.logits(images.inner());
    let classes = logits.dims()[1];
    let logits = host(logits);
    let margin = |(z, &y): (&[f32], &usize)| {
        (0..classes).filter(|&i| i != y).map(|i| z[i] - z[y]).fold(f32::NEG_INFINITY, f32::max)
    };
    logits.chunks(classes).zip(labels).map(margin).collect()
}

/// The largest absolute difference.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

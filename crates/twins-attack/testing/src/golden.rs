use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use twins_attack::Samples;

/// The golden values of the synthetic network (see `tests/golden/synthetic_attacks/README.md`).
pub struct Golden {
    bytes: Vec<u8>,
    device: Device,
}

impl Golden {
    /// The values for the CPU.
    pub fn read() -> Self {
        Self::read_to(Device::flex())
    }

    /// The values for a device.
    pub fn read_to(device: Device) -> Self {
        Self::open("synthetic_attacks", device)
    }

    /// The values of another file that belong to the same network and images.
    pub fn open(name: &str, device: Device) -> Self {
        let folder = twins_testing::repository().join("crates/twins-attack/tests/golden").join(name);
        let path = folder.join(name).with_extension("safetensors");
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

    /// An entry of floats.
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.words(name).1.into_iter().map(f32::from_le_bytes).collect()
    }

    /// An entry of indices.
    pub fn indices(&self, name: &str) -> Vec<usize> {
        self.words(name).1.into_iter().map(|w| i32::from_le_bytes(w) as usize).collect()
    }

    /// An entry of floats in its shape.
    pub fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let shape = self.words(name).0;
        Tensor::from_data(TensorData::new(self.values(name), shape), &self.device)
    }

    /// The images with their labels.
    pub fn samples(&self) -> Samples {
        Samples::new(self.tensor("images"), self.indices("label")).unwrap()
    }

    /// The network.
    pub fn net(&self) -> Net {
        Net {
            conv1: (self.tensor("weights.conv1.weight"), self.tensor("weights.conv1.bias")),
            conv2: (self.tensor("weights.conv2.weight"), self.tensor("weights.conv2.bias")),
            fc: (self.tensor::<2>("weights.fc.weight").transpose(), self.tensor("weights.fc.bias")),
        }
    }
}

/// conv, ReLU, conv with stride 2, ReLU, linear.
pub struct Net {
    conv1: (Tensor<4>, Tensor<1>),
    conv2: (Tensor<4>, Tensor<1>),
    fc: (Tensor<2>, Tensor<1>),
}

impl Net {
    /// Logits of images in [0, 1].
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let conv = |x, (weight, bias): &(Tensor<4>, Tensor<1>), stride| {
            let options = ConvOptions::new([stride, stride], [1, 1], [1, 1], 1);
            burn::tensor::activation::relu(conv2d(x, weight.clone(), Some(bias.clone()), options))
        };
        let features = conv(conv(images, &self.conv1, 1), &self.conv2, 2);
        features.flatten::<2>(1, 3).matmul(self.fc.0.clone()) + self.fc.1.clone().unsqueeze()
    }
}

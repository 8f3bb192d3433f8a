use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use twins_attack::{Attack, Norm, PgdConfig, Returned, Samples, ThreatModel, predictions};
use twins_models::{Net, load_model_from_bytes};
use wasm_bindgen::prelude::*;

/// A model under attack.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Victim {
    net: Net,
}

#[wasm_bindgen]
impl Victim {
    /// Loads a model from the content of its file, which errors call `name`.
    ///
    /// # Errors
    ///
    /// Bytes that are not a model file of this library.
    #[wasm_bindgen(constructor)]
    pub fn new(name: &str, file: Vec<u8>) -> Result<Victim, JsError> {
        let (net, _) = load_model_from_bytes(name, file, &Device::flex())?;
        // Attacks need the inference form.
        Ok(Self { net: net.valid() })
    }

    /// The probability of each class for one image.
    ///
    /// # Errors
    ///
    /// An image of another size.
    pub fn probabilities(&self, pixels: Vec<f32>) -> Result<Vec<f32>, JsError> {
        let logits = self.net.forward(self.image(pixels)?);
        Ok(softmax(logits, 1).try_into_vec_as::<f32>()?)
    }

    /// Attacks one image with PGD in Linf: returns the image within `epsilon` for which the model gives the lowest probability to the class
    /// that it predicts for `pixels`. PGD starts at the image, and its step size is a quarter of epsilon.
    ///
    /// # Errors
    ///
    /// An image of another size or with values outside [0, 1]; an epsilon outside [0, 1]; no steps.
    pub fn attack(&self, pixels: Vec<f32>, epsilon: f32, steps: usize) -> Result<Vec<f32>, JsError> {
        let image = self.image(pixels)?;
        let victim = |images: Tensor<4>| self.net.forward(images);
        // `predictions` does not depend on the label.
        let class = predictions(&victim, &Samples::new(image.clone(), vec![0])?)?[0];
        let threat = ThreatModel::new(Norm::Linf, epsilon)?;
        let pgd = PgdConfig::new(threat, steps, PgdConfig::default_step_size(epsilon));
        let pgd = pgd.with_returned(Returned::BestLoss).build()?;
        let output = pgd.run(&victim, &Samples::new(image, vec![class])?)?;
        Ok(output.adversarial.try_into_vec_as::<f32>()?)
    }
}

impl Victim {
    fn image(&self, pixels: Vec<f32>) -> Result<Tensor<4>, JsError> {
        let [channels, height, width] = self.net.input_shape();
        if pixels.len() != channels * height * width {
            let message =
                format!("an image has {} values, not {channels} x {height} x {width}", pixels.len());
            return Err(JsError::new(&message));
        }
        let data = TensorData::new(pixels, [1, channels, height, width]);
        Ok(Tensor::from_data(data, &Device::flex()))
    }
}

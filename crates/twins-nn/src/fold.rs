use burn::module::Param;
use burn::nn::Linear;
use burn::nn::conv::{Conv1d, Conv2d, Conv3d};
use burn::tensor::Tensor;

use crate::TwinsBatchNorm;

/// A linear layer that can take up the batch norm behind it, so that inference does not pay for one.
pub trait FoldNorm: Sized {
    /// Returns the layer followed by the norm's adaptive wing, with running statistics, as one layer:
    ///
    /// ```text
    /// weight' = weight · gamma / sqrt(running_var + epsilon)        (per output channel)
    /// bias'   = beta + (bias − running_mean) · gamma / sqrt(running_var + epsilon)
    /// ```
    ///
    /// The norm is then left out of the forward pass. It must follow the layer immediately.
    ///
    /// # Panics
    ///
    /// If the layer's output channels are not those of the norm.
    ///
    /// ```
    /// use burn::nn::conv::Conv2dConfig;
    /// use burn::tensor::{Device, Tensor};
    /// use twins_nn::{FoldNorm, TwinsBatchNormConfig, TwinsModule, Wing};
    ///
    /// let device = Device::flex();
    /// let conv = Conv2dConfig::new([3, 8], [3, 3]).with_bias(false).init(&device);
    /// let norm = TwinsBatchNormConfig::new(8).init(&device).with_wing(Wing::Adaptive);
    /// let images = Tensor::<4>::ones([1, 3, 8, 8], &device);
    /// let apart = norm.forward(conv.forward(images.clone()));
    /// let folded = conv.fold(&norm);
    /// assert!((folded.forward(images) - apart).abs().max().into_scalar::<f32>() < 1e-5);
    /// ```
    #[must_use]
    fn fold(self, norm: &TwinsBatchNorm) -> Self;
}

macro_rules! fold_output_channels {
    ($layer:ident, $rank:literal, $axis:literal) => {
        impl FoldNorm for $layer {
            fn fold(mut self, norm: &TwinsBatchNorm) -> Self {
                let (scale, shift) = scale_and_shift(norm, self.weight.dims()[$axis], stringify!($layer));
                let mut dims = [1; $rank];
                dims[$axis] = norm.num_features();
                let bias = match self.bias {
                    Some(bias) => bias.map(|bias| bias * scale.clone() + shift),
                    None => Param::from_tensor(shift),
                };
                self.bias = Some(bias);
                self.weight = self.weight.map(|weight| weight * scale.reshape(dims));
                self
            }
        }
    };
}

fold_output_channels!(Conv1d, 3, 0);
fold_output_channels!(Conv2d, 4, 0);
fold_output_channels!(Conv3d, 5, 0);
fold_output_channels!(Linear, 2, 1);

/// The adaptive wing at inference as `x · scale + shift`.
fn scale_and_shift(norm: &TwinsBatchNorm, channels: usize, layer: &str) -> (Tensor<1>, Tensor<1>) {
    assert!(
        channels == norm.num_features(),
        "fold: the {layer} has {channels} output channels, the norm behind it {}",
        norm.num_features()
    );
    let scale = norm.gamma.val().detach() / (norm.running_var.value().add_scalar(norm.epsilon)).sqrt();
    let shift = norm.beta.val().detach() - norm.running_mean.value() * scale.clone();
    (scale, shift)
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, RunningState};
    use burn::nn::conv::{Conv1dConfig, Conv2dConfig, Conv3dConfig};
    use burn::nn::{LinearConfig, PaddingConfig2d};
    use burn::tensor::{Device, Distribution};

    use super::*;
    use crate::TwinsBatchNormConfig;

    fn norm(channels: usize, device: &Device) -> TwinsBatchNorm {
        let random =
            |low: f64, high: f64| Tensor::<1>::random([channels], Distribution::Uniform(low, high), device);
        let mut norm = TwinsBatchNormConfig::new(channels).init(device);
        norm.gamma = Param::from_tensor(random(0.5, 1.5));
        norm.beta = Param::from_tensor(random(-1.0, 1.0));
        norm.running_mean = RunningState::new(random(-1.0, 1.0));
        norm.running_var = RunningState::new(random(0.5, 2.0));
        norm.valid()
    }

    fn assert_folds<const D: usize, L: FoldNorm + Clone>(
        layer: L,
        forward: impl Fn(&L, Tensor<D>) -> Tensor<D>,
        dims: [usize; D],
        device: &Device,
    ) {
        let norm = norm(6, device);
        let x = Tensor::random(dims, Distribution::Normal(0.0, 1.0), device);
        let apart = norm.forward(forward(&layer, x.clone()));
        let folded = forward(&layer.fold(&norm), x);
        assert!((apart - folded).abs().max().into_scalar::<f32>() < 1e-5);
    }

    #[test]
    fn folded_layers_compute_the_same() {
        let device = Device::flex();
        device.seed(1);
        for bias in [false, true] {
            let conv = Conv1dConfig::new(4, 6, 3).with_bias(bias).init(&device);
            assert_folds(conv, Conv1d::forward, [2, 4, 9], &device);
            let conv = Conv2dConfig::new([4, 6], [3, 3])
                .with_groups(2)
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(bias)
                .init(&device);
            assert_folds(conv, Conv2d::forward, [2, 4, 6, 7], &device);
            let conv = Conv3dConfig::new([4, 6], [2, 2, 2]).with_bias(bias).init(&device);
            assert_folds(conv, Conv3d::forward, [2, 4, 3, 4, 5], &device);
            let linear = LinearConfig::new(4, 6).with_bias(bias).init(&device);
            assert_folds(linear, Linear::forward, [2, 4], &device);
        }
    }

    #[test]
    #[should_panic(expected = "the Conv2d has 5 output channels, the norm behind it 6")]
    fn another_layers_norm() {
        let device = Device::flex();
        let _ = Conv2dConfig::new([4, 5], [1, 1]).init(&device).fold(&norm(6, &device));
    }
}

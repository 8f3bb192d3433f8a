use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, Param, RunningState};
use burn::tensor::{Device, Tensor};

#[cfg(any(feature = "flex", feature = "_cube"))]
use crate::fused;
use crate::wings::{Activation, BatchWing, FixedWing, Normalised, Wings};
use crate::{Affine, RunningVariance, Wing, composed};

/// Batch normalisation with two wings that split a training batch (TWINS, CVPR 2023, section 3).
///
/// ```text
/// frozen:   y = gamma_f · (x − mean_f) / sqrt(var_f + epsilon) + beta_f
/// adaptive: y = gamma   · (x − mean)   / sqrt(var   + epsilon) + beta
/// ```
///
/// Where:
/// - `mean_f`, `var_f` are the statistics of the pre-training population. They are saved in records but never change;
/// - `mean`, `var` are the statistics of the adaptive part of the batch in training, and the running statistics otherwise;
/// - `gamma_f`, `beta_f`, `gamma`, `beta` are trained. Both pairs start with the values of the checkpoint.
///
/// [`Wing`] selects the wing that normalises. The fields of the adaptive wing have the names of the fields of Burn's `BatchNorm`.
/// [`load_batch_norm_from`](crate::TwinsModule::load_batch_norm_from) fills both wings from a model with `BatchNorm` layers.
///
/// Burn shares running statistics between a module and its clones, and `valid()` makes them independent. The frozen statistics are never
/// shared.
///
/// A channel without variance is normalised to beta. Epsilon limits its slope to `gamma / sqrt(epsilon)`, so its gradients are finite. A NaN
/// makes every value of its channel NaN, if the statistics are those of the batch.
///
/// Create the layer with [`TwinsBatchNormConfig`](crate::TwinsBatchNormConfig), or from a `BatchNorm` with `From`.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct TwinsBatchNorm {
    /// Scale of the adaptive wing, `[channels]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift of the adaptive wing, `[channels]`.
    pub beta: Param<Tensor<1>>,
    /// Running mean of the adaptive wing, `[channels]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Running variance of the adaptive wing, `[channels]`.
    pub running_var: RunningState<Tensor<1>>,
    /// Scale of the frozen wing, `[channels]`; `None` if the wings share one.
    pub frozen_gamma: Option<Param<Tensor<1>>>,
    /// Shift of the frozen wing, `[channels]`; `None` if the wings share one.
    pub frozen_beta: Option<Param<Tensor<1>>>,
    /// Mean of the pre-training population, `[channels]`. It is a parameter without a gradient rather than a running state, because
    /// running states are shared between clones.
    pub frozen_mean: Param<Tensor<1>>,
    /// Variance of the pre-training population, `[channels]`.
    pub frozen_var: Param<Tensor<1>>,
    /// Whether batch statistics are used; see [`Wing`].
    pub training: Param<Flag>,
    /// Whether the frozen wing is used; see [`Wing`].
    pub frozen: Param<Flag>,
    /// Added to the variance under the square root.
    pub epsilon: f64,
    /// Weight of the newest batch in the running statistics.
    pub momentum: f64,
    /// Which estimate of the batch variance is accumulated.
    #[module(skip)]
    pub running_variance: RunningVariance,
}

impl TwinsBatchNorm {
    /// Normalises a batch with the selected [`Wing`].
    ///
    /// The output has the precision of the input, which may be lower than that of the parameters. The statistics are then computed in the
    /// precision of the parameters, so a model in half precision can keep its batch normalisation in single precision.
    ///
    /// In [`Wing::Split`], the first ⌊n/2⌋ samples go through the frozen wing and the rest through the adaptive wing, so the frozen wing
    /// gets the smaller part of an odd batch. A split is a training pass, so the input must be on a device with autodiff. On devices
    /// without autodiff, [`Wing::AdaptiveTraining`] uses running statistics, as Burn's `BatchNorm` does.
    ///
    /// # Shapes
    ///
    /// - `input`: `[n, channels, ...]`, rank 2 or more
    /// - output: the same
    ///
    /// # Panics
    ///
    /// If the rank is below 2, if the second axis is not `num_features`, if a batch to be split is on a device without autodiff or has
    /// fewer than two samples, or if the batch statistics would be computed from a single value per channel.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.normalise(input, None, Activation::Identity)
    }

    /// Applies [`forward`](Self::forward) and then ReLU, `max(y, 0)`, in one pass if the backend supports it.
    ///
    /// Shapes and panics are those of `forward`.
    pub fn forward_relu<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.normalise(input, None, Activation::Relu)
    }

    /// Applies [`forward`](Self::forward), adds a residual and applies ReLU, `max(y + residual, 0)`, in one pass if the backend supports
    /// it.
    ///
    /// This is the end of a residual block.
    ///
    /// Shapes and panics are those of `forward`; the residual has the shape of the input, and may have another precision.
    pub fn forward_add_relu<const D: usize>(&self, input: Tensor<D>, residual: Tensor<D>) -> Tensor<D> {
        self.normalise(input, Some(residual), Activation::Relu)
    }

    /// Number of channels of the input.
    pub fn num_features(&self) -> usize {
        self.gamma.lazy_shape()[0]
    }

    /// The selected wing. Select another one with [`with_wing`](crate::TwinsModule::with_wing).
    pub fn wing(&self) -> Wing {
        Wing::from_flags(self.training.is_enabled(), self.frozen.is_enabled())
    }

    /// Whether each wing has its own gamma and beta.
    pub fn affine(&self) -> Affine {
        match self.frozen_gamma {
            Some(_) => Affine::PerWing,
            None => Affine::Shared,
        }
    }

    fn normalise<const D: usize>(
        &self,
        input: Tensor<D>,
        residual: Option<Tensor<D>>,
        activation: Activation,
    ) -> Tensor<D> {
        let dims = input.dims();
        assert!(D >= 2, "TwinsBatchNorm: the input has rank {D}; it must be [n, channels, ...]");
        assert!(
            dims[1] == self.num_features(),
            "TwinsBatchNorm: the input has {} channels (second axis of {dims:?}); the layer has {}",
            dims[1],
            self.num_features()
        );
        if let Some(residual) = &residual {
            let shape = residual.dims();
            assert!(shape == dims, "TwinsBatchNorm: a residual {shape:?} cannot be added to {dims:?}");
        }
        let wings = self.wings(&input);
        let Normalised { output, moments } = two_wing_norm(input, residual, wings, self.epsilon, activation);
        if let Some([mean, variance]) = moments {
            let samples = if self.wing() == Wing::Split { dims[0] - dims[0] / 2 } else { dims[0] };
            self.accumulate(mean, variance, samples * dims[2..].iter().product::<usize>());
        }
        output
    }

    /// The wings that the batch goes through.
    fn wings<const D: usize>(&self, input: &Tensor<D>) -> Wings {
        let dims = input.dims();
        let training = input.device().is_autodiff();
        match self.wing() {
            Wing::Frozen => Wings::Fixed(self.frozen_wing()),
            Wing::AdaptiveTraining if training => Wings::Batch(self.batch_wing(dims[0], &dims)),
            Wing::Split => {
                // Falling back to inference would be a silent error: half of the batch would go through the wrong wing.
                assert!(
                    training,
                    "TwinsBatchNorm: Wing::Split on a device without autodiff; it splits training batches, so move model and \
                     input to `device.autodiff()`, or use `model.valid()` for inference"
                );
                let samples = dims[0];
                assert!(
                    samples >= 2,
                    "TwinsBatchNorm: a batch of {samples} cannot be split between two wings; it needs at least two \
                     samples"
                );
                Wings::Split(self.frozen_wing(), self.batch_wing(samples - samples / 2, &dims))
            }
            Wing::Adaptive | Wing::AdaptiveTraining => Wings::Fixed(self.running_wing(&input.device())),
        }
    }

    fn running_wing(&self, device: &Device) -> FixedWing {
        FixedWing {
            gamma: self.gamma.val(),
            beta: self.beta.val(),
            mean: self.running_mean.value().to_device(device),
            variance: self.running_var.value().to_device(device),
        }
    }

    fn frozen_wing(&self) -> FixedWing {
        FixedWing {
            gamma: self.frozen_gamma.as_ref().unwrap_or(&self.gamma).val(),
            beta: self.frozen_beta.as_ref().unwrap_or(&self.beta).val(),
            // Detached, because `unfreeze` and `set_require_grad` affect every parameter of a model.
            mean: self.frozen_mean.val().detach(),
            variance: self.frozen_var.val().detach(),
        }
    }

    fn batch_wing(&self, samples: usize, dims: &[usize]) -> BatchWing {
        let values = samples * dims[2..].iter().product::<usize>();
        assert!(
            values > 1,
            "TwinsBatchNorm: batch statistics over {values} value per channel (input {dims:?}); \
             training needs at least two, so use a larger batch or drop the leftover sample"
        );
        BatchWing { gamma: self.gamma.val(), beta: self.beta.val() }
    }

    /// Moves the running statistics towards those of a batch with `values` values per channel.
    fn accumulate(&self, mean: Tensor<1>, variance: Tensor<1>, values: usize) {
        let variance = match self.running_variance {
            RunningVariance::Unbiased => variance.mul_scalar(values as f64 / (values - 1) as f64),
            RunningVariance::Biased => variance,
        };
        accumulate(&self.running_mean, mean, self.momentum);
        accumulate(&self.running_var, variance, self.momentum);
    }
}

fn two_wing_norm<const D: usize>(
    input: Tensor<D>,
    residual: Option<Tensor<D>>,
    wings: Wings,
    epsilon: f64,
    activation: Activation,
) -> Normalised<D> {
    #[cfg(any(feature = "flex", feature = "_cube"))]
    if fused::covers(&input, &wings) {
        // The kernels read both tensors in one precision. A cast to the same precision changes nothing.
        let residual = residual.map(|residual| residual.cast(input.dtype()));
        if residual.is_none() || fused::takes_residuals(&input) {
            return fused::two_wing_norm(input, residual, wings, epsilon, activation);
        }
        let normalised = fused::two_wing_norm(input, None, wings, epsilon, Activation::Identity);
        return composed::finish(normalised, residual, activation);
    }
    let Some(parameters) = wings.dtype() else {
        return composed::two_wing_norm(input, residual, wings, epsilon, activation);
    };
    // A cast to the same precision changes nothing.
    let maps = input.dtype();
    let residual = residual.map(|residual| residual.cast(parameters));
    let Normalised { output, moments } =
        composed::two_wing_norm(input.cast(parameters), residual, wings, epsilon, activation);
    Normalised { output: output.cast(maps), moments }
}

/// Moves a running statistic towards that of the batch by `momentum`.
fn accumulate(state: &RunningState<Tensor<1>>, batch: Tensor<1>, momentum: f64) {
    let running = state.value_sync().to_device(&batch.device());
    state.update((running.mul_scalar(1.0 - momentum) + batch.mul_scalar(momentum)).detach());
    // Burn applies an update only at the next one. A record made in between would lack it.
    state.value_sync();
}

impl ModuleDisplay for TwinsBatchNorm {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content
            .add("num_features", &self.num_features())
            .add("momentum", &self.momentum)
            .add("epsilon", &self.epsilon)
            .add_debug_attribute("wing", &self.wing())
            .add_debug_attribute("affine", &self.affine())
            .optional()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, Tolerance};

    use super::*;
    use crate::{TwinsBatchNormConfig, TwinsModule};

    /// One channel whose adaptive wing has running mean 1 and variance 4, whose frozen wing has mean −1,
    /// variance 0.25, gamma 2 and beta 3; epsilon small enough to vanish in float32.
    fn layer(device: &Device) -> TwinsBatchNorm {
        let mut norm = TwinsBatchNormConfig::new(1).with_epsilon(1e-12).init(device);
        let scalar = |value: f32| Tensor::<1>::from_floats([value], device);
        norm.running_mean = RunningState::new(scalar(1.0));
        norm.running_var = RunningState::new(scalar(4.0));
        norm.frozen_mean = crate::config::fixed(scalar(-1.0));
        norm.frozen_var = crate::config::fixed(scalar(0.25));
        norm.frozen_gamma = Some(Param::from_tensor(scalar(2.0)));
        norm.frozen_beta = Some(Param::from_tensor(scalar(3.0)));
        norm
    }

    fn column(values: &[f32], device: &Device) -> Tensor<2> {
        Tensor::<1>::from_floats(values, device).reshape([values.len(), 1])
    }

    fn assert_values(output: Tensor<2>, expected: &[f32]) {
        // Hand-computed values of order 1: a few units in the last place.
        output.into_data().assert_approx_eq::<f32>(
            &column(expected, &Device::flex()).into_data(),
            Tolerance::absolute(1e-6),
        );
    }

    /// Two channels: running means 1 and 2, running variances 9 and 16, gammas 2 and −1, betas 1 and 0.5. In the frozen
    /// wing: means −1 and 1, variances 4 and 0.25, gammas 0.5 and 3, betas −1 and 2.
    fn two_channels(device: &Device) -> TwinsBatchNorm {
        let mut norm = TwinsBatchNormConfig::new(2).with_epsilon(1e-12).init(device);
        let pair = |values: [f32; 2]| Tensor::<1>::from_floats(values, device);
        norm.gamma = Param::from_tensor(pair([2.0, -1.0]));
        norm.beta = Param::from_tensor(pair([1.0, 0.5]));
        norm.running_mean = RunningState::new(pair([1.0, 2.0]));
        norm.running_var = RunningState::new(pair([9.0, 16.0]));
        norm.frozen_gamma = Some(Param::from_tensor(pair([0.5, 3.0])));
        norm.frozen_beta = Some(Param::from_tensor(pair([-1.0, 2.0])));
        norm.frozen_mean = crate::config::fixed(pair([-1.0, 1.0]));
        norm.frozen_var = crate::config::fixed(pair([4.0, 0.25]));
        norm
    }

    /// The two values of the pixels of each channel: mean 3 and variance 4, and mean −0.5 and variance 0.25.
    const INPUT: [[f32; 2]; 2] = [[1.0, 5.0], [-1.0, 0.0]];

    /// `INPUT` through the frozen wing: (x + 1) / 2 · 0.5 − 1 and (x − 1) / 0.5 · 3 + 2.
    const FROZEN: [[f32; 2]; 2] = [[-0.5, 0.5], [-10.0, -4.0]];

    /// `INPUT` through the adaptive wing: (x − 3) / 2 · 2 + 1 and (x + 0.5) / 0.5 · −1 + 0.5.
    const ADAPTIVE: [[f32; 2]; 2] = [[-1.0, 3.0], [1.5, -0.5]];

    /// A tensor `[samples, 2, ...]` in which pixels alternate between the two values of a sample's channel.
    fn alternating<const D: usize>(
        dims: [usize; D],
        device: &Device,
        values: impl Fn(usize, usize) -> [f32; 2],
    ) -> Tensor<D> {
        let space: usize = dims[2..].iter().product();
        let value = |place: usize| values(place / (2 * space), place / space % 2)[place % 2];
        let all: Vec<f32> = (0..dims.iter().product::<usize>()).map(value).collect();
        Tensor::<1>::from_floats(all.as_slice(), device).reshape(dims)
    }

    fn assert_close<const D: usize>(output: Tensor<D>, expected: Tensor<D>) {
        // Values of order 10: a few units in the last place.
        output.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    }

    /// Splits five samples, with every activation and residual.
    fn check_split<const D: usize>(dims: [usize; D]) {
        let device = Device::flex().autodiff();
        let norm = two_channels(&device).with_wing(Wing::Split);
        let input = || alternating(dims, &device, |_, channel| INPUT[channel]);
        let check = |output: Tensor<D>, of: fn(f32, f32) -> f32| {
            let expected = alternating(dims, &Device::flex(), |sample, channel| {
                let wing = if sample < 2 { FROZEN } else { ADAPTIVE };
                [0, 1].map(|at| of(wing[channel][at], INPUT[channel][at]))
            });
            assert_close(output.inner(), expected);
        };
        check(norm.forward(input()), |y, _| y);
        let running = norm.valid();
        // The adaptive part has three samples.
        let values = 3.0 * dims[2..].iter().product::<usize>() as f32;
        let unbiased = values / (values - 1.0);
        let expected = |values: [f32; 2]| Tensor::<1>::from_floats(values, &Device::flex());
        assert_close(running.running_mean.value(), expected([0.9 + 0.3, 1.8 - 0.05]));
        assert_close(running.running_var.value(), expected([8.1 + 0.4 * unbiased, 14.4 + 0.025 * unbiased]));
        check(norm.forward_relu(input()), |y, _| y.max(0.0));
        check(norm.forward_add_relu(input(), input()), |y, x| (y + x).max(0.0));
    }

    #[test]
    fn feature_maps_of_any_rank_are_split() {
        check_split([5, 2, 4, 4]);
        // The fused operation does not add the residual at this rank.
        check_split([5, 2, 16]);
        // Too small for the fused operation.
        check_split([5, 2, 2]);
    }

    #[test]
    fn the_pixels_of_one_sample_are_enough_for_batch_statistics() {
        let device = Device::flex().autodiff();
        let input = alternating([1, 2, 4, 4], &device, |_, channel| INPUT[channel]);
        let expected = alternating([1, 2, 4, 4], &Device::flex(), |_, channel| ADAPTIVE[channel]);
        assert_close(two_channels(&device).forward(input).inner(), expected);
    }

    #[test]
    fn an_input_in_half_precision() {
        let device = Device::flex().autodiff();
        let norm = two_channels(&device);
        let input = alternating([2, 2, 4, 4], &device, |_, channel| INPUT[channel]).cast(DType::F16);
        let output = norm.forward_add_relu(input.clone(), input);
        assert_eq!(output.dtype(), DType::F16);
        assert_eq!(norm.valid().running_var.value().dtype(), DType::F32);
        let expected = alternating([2, 2, 4, 4], &Device::flex(), |_, channel| {
            [0, 1].map(|at| (ADAPTIVE[channel][at] + INPUT[channel][at]).max(0.0))
        });
        assert_close(output.inner().cast(DType::F32), expected);
    }

    /// Adds a residual in half precision to an input in single precision.
    fn check_other_precision<const D: usize>(dims: [usize; D]) {
        let device = Device::flex().autodiff();
        let input = alternating(dims, &device, |_, channel| INPUT[channel]);
        let output = two_channels(&device).forward_add_relu(input.clone(), input.cast(DType::F16));
        assert_eq!(output.dtype(), DType::F32);
        let expected = alternating(dims, &Device::flex(), |_, channel| {
            [0, 1].map(|at| (ADAPTIVE[channel][at] + INPUT[channel][at]).max(0.0))
        });
        assert_close(output.inner(), expected);
    }

    #[test]
    fn a_residual_in_another_precision() {
        check_other_precision([2, 2, 4, 4]);
        // The fused operation does not add the residual at this rank.
        check_other_precision([2, 2, 16]);
        // Too small for the fused operation.
        check_other_precision([2, 2, 2]);
    }

    #[test]
    fn the_display_names_the_wing() {
        let norm = TwinsBatchNormConfig::new(3).init(&Device::flex()).with_wing(Wing::Split);
        let expected =
            "TwinsBatchNorm {num_features: 3, momentum: 0.1, epsilon: 0.00001, wing: Split, affine: PerWing";
        assert!(norm.to_string().starts_with(expected), "{norm}");
    }

    #[test]
    fn adaptive_uses_running_statistics() {
        let device = Device::flex();
        assert_values(layer(&device).valid().forward(column(&[1.0, 5.0], &device)), &[0.0, 2.0]);
    }

    #[test]
    fn frozen_uses_its_own_affine_and_population() {
        let device = Device::flex();
        let norm = layer(&device).with_wing(Wing::Frozen);
        // (x + 1) / 0.5 · 2 + 3
        assert_values(norm.forward(column(&[-1.0, 0.0], &device)), &[3.0, 7.0]);
    }

    #[test]
    fn odd_split_gives_the_frozen_wing_the_smaller_part() {
        let device = Device::flex().autodiff();
        let norm = layer(&device).with_wing(Wing::Split);
        // The adaptive part {1, 3} has mean 2 and biased variance 1.
        assert_values(norm.forward(column(&[0.0, 1.0, 3.0], &device)).inner(), &[7.0, -1.0, 1.0]);
        // Running: 0.9 · 1 + 0.1 · 2, and 0.9 · 4 + 0.1 · 2 with the unbiased variance 2.
        let running = norm.valid();
        assert!((running.running_mean.value().into_scalar::<f32>() - 1.1).abs() < 1e-6);
        assert!((running.running_var.value().into_scalar::<f32>() - 3.8).abs() < 1e-6);
    }

    #[test]
    fn shared_affine_applies_the_adaptive_gamma_and_beta() {
        let device = Device::flex();
        let mut norm = layer(&device).with_wing(Wing::Frozen);
        (norm.frozen_gamma, norm.frozen_beta) = (None, None);
        assert_eq!(norm.affine(), Affine::Shared);
        assert_values(norm.forward(column(&[-1.0, 0.0], &device)), &[0.0, 2.0]);
    }

    #[test]
    fn the_frozen_statistics_of_an_unfrozen_model_have_no_gradient() {
        let device = Device::flex().autodiff();
        let norm = two_channels(&device).unfreeze();
        assert_eq!(norm.wing(), Wing::Split);
        assert!(norm.frozen_mean.is_require_grad() && norm.frozen_var.is_require_grad());
        // The second size is too small for the fused operation.
        for dims in [[4, 2, 16], [4, 2, 2]] {
            let input = alternating(dims, &device, |_, channel| INPUT[channel]);
            let gradients = norm.forward(input).sum().backward();
            let has_gradient = |param: &Param<Tensor<1>>| param.val().grad(&gradients).is_some();
            assert!(has_gradient(norm.frozen_gamma.as_ref().expect("the wings have their own gammas")));
            assert!(!has_gradient(&norm.frozen_mean), "{dims:?}");
            assert!(!has_gradient(&norm.frozen_var), "{dims:?}");
        }
    }

    #[test]
    fn adaptive_training_infers_where_nothing_is_tracked() {
        let device = Device::flex();
        let norm = layer(&device).with_wing(Wing::AdaptiveTraining);
        assert_values(norm.forward(column(&[1.0, 5.0], &device)), &[0.0, 2.0]);
    }

    #[test]
    #[should_panic(expected = "Wing::Split on a device without autodiff")]
    fn a_split_is_never_replaced_by_inference() {
        let device = Device::flex();
        layer(&device).with_wing(Wing::Split).forward(column(&[1.0, 5.0], &device));
    }

    #[test]
    #[should_panic(expected = "a batch of 1 cannot be split")]
    fn split_of_one_sample() {
        let device = Device::flex().autodiff();
        layer(&device).with_wing(Wing::Split).forward(column(&[1.0], &device));
    }

    #[test]
    #[should_panic(expected = "over 1 value per channel (input [1, 1])")]
    fn statistics_of_one_value() {
        let device = Device::flex().autodiff();
        layer(&device).forward(column(&[1.0], &device));
    }

    #[test]
    #[should_panic(expected = "over 1 value per channel (input [2, 1])")]
    fn statistics_of_one_value_after_a_split() {
        let device = Device::flex().autodiff();
        layer(&device).with_wing(Wing::Split).forward(column(&[1.0, 3.0], &device));
    }

    #[test]
    #[should_panic(expected = "has 3 channels")]
    fn wrong_channel_count() {
        let device = Device::flex();
        layer(&device).forward(Tensor::<4>::zeros([2, 3, 4, 4], &device));
    }

    #[test]
    #[should_panic(expected = "rank 1")]
    fn rank_one() {
        let device = Device::flex();
        layer(&device).forward(Tensor::<1>::zeros([2], &device));
    }
}

//! The kernel against Burn's own convolution, forwards and backwards.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{LinearConfig, PaddingConfig2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData, Tolerance};
use proptest::prelude::*;

use crate::format::{Format, format};
use crate::op::{ConvKernels, Weights};
use crate::{conv2d, conv2d_and_input, kernels, linear, op, relu};

/// A convolution of random sizes and an input that it takes.
#[derive(Debug, Clone)]
struct Case {
    samples: usize,
    channels: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    size: [usize; 2],
    bias: bool,
}

fn pair<T: Clone>(of: T) -> [T; 2] {
    [of.clone(), of]
}

/// Few channels and kernels of all sizes.
fn case() -> impl Strategy<Value = Case> {
    case_of(pair(1..40usize), pair(1..6usize), 3, 20)
}

/// Images, and as many outputs as vectors hold.
fn case_of_images() -> impl Strategy<Value = Case> {
    let outputs = prop::sample::select(vec![16, 32, 48, 64]);
    (1..5usize, outputs)
        .prop_flat_map(|(images, outputs)| case_of([Just(images), Just(outputs)], pair(1..6usize), 3, 20))
}

/// Many channels and the kernels that have methods of their own.
fn case_of_many_channels() -> impl Strategy<Value = Case> {
    let channels = pair(prop::sample::select(vec![32, 48, 64, 80, 128]));
    prop::sample::select(vec![1usize, 3])
        .prop_flat_map(move |kernel| case_of(channels.clone(), pair(Just(kernel)), 4, 14))
}

fn case_of(
    channels: [impl Strategy<Value = usize>; 2],
    kernel: [impl Strategy<Value = usize>; 2],
    padding: usize,
    size: usize,
) -> impl Strategy<Value = Case> {
    // Most layers have a stride of 1.
    let stride = pair(prop_oneof![3 => Just(1), 1 => 2..4usize]);
    let padding = [0..padding, 0..padding, 0..padding, 0..padding];
    (1..4usize, channels, kernel, stride, padding, pair(1..size), any::<bool>())
        .prop_filter("the kernel fits", |(_, _, kernel, _, padding, size, _)| {
            size[0] + padding[0] + padding[2] >= kernel[0] && size[1] + padding[1] + padding[3] >= kernel[1]
        })
        .prop_map(|(samples, channels, kernel, stride, padding, size, bias)| Case {
            samples,
            channels,
            kernel,
            stride,
            padding,
            size,
            bias,
        })
}

fn layer(case: &Case, device: &Device) -> Conv2d {
    let [top, left, bottom, right] = case.padding;
    Conv2dConfig::new(case.channels, case.kernel)
        .with_stride(case.stride)
        .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
        .with_bias(case.bias)
        .init(device)
}

/// Output, and the gradients of input, weight and bias under varied weights of the output.
fn passes(
    layer: &Conv2d,
    input: &Tensor<4>,
    forward: impl Fn(&Conv2d, Tensor<4>) -> Tensor<4>,
) -> Vec<Vec<f32>> {
    let input = input.clone().require_grad();
    let output = forward(layer, input.clone());
    // Not drawn: tests that run side by side share the backend's generator.
    let values = 0..output.shape().num_elements() as i64;
    let pull = Tensor::<1, Int>::arange(values, &input.device()).float().sin().reshape(output.dims());
    let gradients = (output.clone() * pull).sum().backward();
    let values = |tensor: Tensor<1>| tensor.into_data().try_to_vec::<f32>().unwrap();
    let mut found = vec![
        values(output.flatten(0, 3)),
        values(input.grad(&gradients).unwrap().flatten(0, 3)),
        values(layer.weight.grad(&gradients).unwrap().flatten(0, 3)),
    ];
    found.extend(layer.bias.as_ref().map(|bias: &Param<Tensor<1>>| values(bias.grad(&gradients).unwrap())));
    found
}

/// Both of Burn's convolution and ours on a case, whose input is channels last if so asked.
fn agrees(case: &Case, is_channels_last: bool, tolerance: f32) -> Result<(), TestCaseError> {
    let device = Device::flex().autodiff();
    device.seed(0);
    let layer = layer(case, &device);
    let [height, width] = case.size;
    let mut input = Tensor::random(
        [case.samples, case.channels[0], height, width],
        Distribution::Normal(0.0, 1.0),
        &device,
    );
    if is_channels_last {
        input =
            Tensor::<4>::from_data(input.permute([0, 2, 3, 1]).into_data(), &device).permute([0, 3, 1, 2]);
    }
    prop_assert!(op::options(&layer, &input).is_some());
    let ours = passes(&layer, &input, conv2d);
    let burns = passes(&layer, &input, Conv2d::forward);
    prop_assert_eq!(ours.len(), burns.len());
    for (ours, burns) in ours.iter().zip(&burns) {
        prop_assert_eq!(ours.len(), burns.len());
        let scale = burns.iter().fold(1f32, |most, value| most.max(value.abs()));
        for (a, b) in ours.iter().zip(burns) {
            prop_assert!((a - b).abs() <= tolerance * scale, "{} is not {}", a, b);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_kernel_computes_burns_convolution(case in case()) {
        // At most 250 summands of size 1, and rounding of 6e-8 for each.
        agrees(&case, false, 1e-5)?;
    }

    #[test]
    fn kernels_for_images_compute_burns_convolution(case in case_of_images(), last in any::<bool>()) {
        // At most 1600 summands, of the input's gradient.
        agrees(&case, last, 3e-5)?;
    }

    #[test]
    fn kernels_for_many_channels_compute_burns_convolution(case in case_of_many_channels(), last in any::<bool>()) {
        // At most 1152 summands, and tiles with four times the rounding of direct summation in the worst place.
        agrees(&case, last, 3e-5)?;
    }
}

/// Batches that a method computes in several parts, the last of which is smaller, with memory that the parts share.
#[test]
fn large_batches_compute_burns_convolution() {
    let cases = [
        // Direct summation. The weights exceed a core's cache, and are applied to 3 and then 2 images at once.
        (20, [128, 128], 3, 2, 17),
        // Direct summation. The weights' gradient is summed over 4 and then 3 images at once.
        (100, [20, 40], 3, 1, 19),
        (100, [20, 40], 3, 2, 25),
        // 1152 large tiles, of which the weights' gradient takes 807 at once.
        (128, [64, 80], 3, 1, 13),
        // 12150 pixels, of which the weights' gradient takes 12032 at once.
        (150, [144, 208], 1, 1, 9),
    ];
    // One thread, so that no part is smaller than intended because of the number of threads.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (samples, channels, kernel, stride, size) in cases {
        let case = Case {
            samples,
            channels,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [0; 4],
            size: [size; 2],
            // Sums of so many values that nearly cancel would need a tolerance of their own.
            bias: false,
        };
        // At most 28 900 summands, whose rounding errors add up like a random walk: 170 · 6e-8 of the largest sum.
        pool.install(|| agrees(&case, false, 3e-5)).unwrap_or_else(|error| panic!("{case:?}: {error}"));
    }
}

#[test]
fn the_gradient_of_a_bias_is_the_sum_over_all_pixels() {
    // Whole numbers, whose sums are exact. The pixels are summed in parts of 1024.
    let gradients: Vec<f32> = (0..2500).flat_map(|pixel| [1.0, (pixel % 10) as f32, -2.0]).collect();
    assert_eq!(kernels::bias_gradient(&gradients, 3), [2500.0, 11250.0, -5000.0]);
}

/// Layers of every method, with the size of their images: small and large tiles that reach beyond the outputs, products of matrices, direct
/// summation, few channels.
const LAYERS: [([usize; 2], usize, usize); 6] = [
    ([2, 48], 4, 10),
    ([64, 80], 3, 7),
    ([64, 80], 3, 13),
    ([144, 208], 1, 9),
    ([20, 40], 3, 11),
    ([3, 20], 3, 11),
];

#[test]
fn what_the_kernel_does_not_take_is_burns() {
    let device = Device::flex();
    let input = Tensor::<4>::ones([2, 4, 8, 8], &device);
    let plain = Conv2dConfig::new([4, 4], [3, 3]);
    for config in [plain.clone().with_dilation([2, 1]), plain.clone().with_groups(2)] {
        let layer = config.init(&device);
        assert!(op::options(&layer, &input).is_none());
        assert_eq!(conv2d(&layer, input.clone()).to_data(), layer.forward(input.clone()).to_data());
    }
    let layer = plain.init(&device);
    assert!(op::options(&layer, &input.clone().cast(burn::tensor::DType::F64)).is_none());
}

#[test]
fn a_view_is_read_as_it_is_seen() {
    let device = Device::flex();
    device.seed(0);
    let layer = Conv2dConfig::new([3, 5], [3, 3]).init(&device);
    let input = Tensor::<4>::random([2, 7, 6, 3], Distribution::Normal(0.0, 1.0), &device);
    let seen = input.permute([0, 3, 1, 2]);
    let copied = Tensor::<4>::from_data(seen.to_data(), &device);
    assert_eq!(conv2d(&layer, seen).to_data(), conv2d(&layer, copied).to_data());
}

/// Outputs are channels last, which the next layer takes as they are. The gradient has the order of the input: the images of an attack
/// are channels first, and stay so.
#[test]
fn orders_of_outputs_and_gradients() {
    let tensor = |shape: [usize; 4]| FlexTensor::from_data(TensorData::ones::<f32, _>(shape));
    let options = ConvOptions::new_with_padding([1, 1], [(0, 0), (0, 0)], [1, 1], 1);
    let (images, weight) = (tensor([2, 3, 6, 7]), tensor([5, 3, 3, 3]));
    let weight = Weights { values: weight, are_constant: true };
    let output = Flex::forward(images, weight.clone(), None, &options);
    assert_eq!(format(&output), Some(Format::ChannelsLast));
    for order in [Format::ChannelsFirst, Format::ChannelsLast] {
        let gradient =
            Flex::input_gradient([6, 7], Some(order), weight.clone(), output.clone(), None, &options);
        assert_eq!(format(&gradient), Some(order));
    }
}

/// The sum of the gradients of a residual block's two ways is Burn's sum of them, to the bit.
#[test]
fn the_gradient_of_a_shortcut_is_added() {
    let device = Device::flex().autodiff();
    device.seed(0);
    let strided = Conv2dConfig::new([20, 40], [1, 1]).with_stride([2, 2]);
    let layers =
        LAYERS.map(|(channels, kernel, size)| (Conv2dConfig::new(channels, [kernel; 2]), channels[0], size));
    for (config, channels, size) in layers.into_iter().chain([(strided, 20, 9)]) {
        let layer = config.init(&device);
        for (samples, is_channels_last) in [(1, false), (1, true), (7, false), (7, true)] {
            let input = images([samples, channels, size, size], is_channels_last, &device);
            let gradients = |forward: &dyn Fn(Tensor<4>) -> (Tensor<4>, Tensor<4>)| {
                let input = input.clone().detach().require_grad();
                let (output, shortcut) = forward(input.clone());
                assert_eq!(shortcut.to_data(), input.to_data());
                let gradients = (output.powi_scalar(2).sum() + shortcut.powi_scalar(3).sum()).backward();
                [input.grad(&gradients), layer.weight.grad(&gradients)].map(|g| g.unwrap().into_data())
            };
            let ours = gradients(&|input| conv2d_and_input(&layer, input));
            let burns = gradients(&|input| (conv2d(&layer, input.clone()), input));
            assert_eq!(ours, burns);
        }
    }
}

#[test]
fn an_empty_batch_has_no_outputs_and_gradients_of_zero() {
    let device = Device::flex().autodiff();
    for ([channels, outputs], kernel, size) in LAYERS {
        let layer = Conv2dConfig::new([channels, outputs], [kernel; 2]).init(&device);
        let [output, input, weight, bias] =
            passes(&layer, &Tensor::zeros([0, channels, size, size], &device), conv2d).try_into().unwrap();
        assert_eq!((output.len(), input.len()), (0, 0));
        assert_eq!((weight, bias), (vec![0.0; kernel * kernel * channels * outputs], vec![0.0; outputs]));
    }
}

#[test]
fn values_do_not_depend_on_the_number_of_threads() {
    let device = Device::flex().autodiff();
    device.seed(0);
    for (channels, kernel, size) in LAYERS {
        let layer = Conv2dConfig::new(channels, [kernel; 2]).init(&device);
        let input = Tensor::random([37, channels[0], size, size], Distribution::Normal(0.0, 1.0), &device);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| passes(&layer, &input, conv2d))
        };
        assert_eq!(run(1), run(3));
    }
}

#[test]
fn values_do_not_depend_on_the_batch() {
    let device = Device::flex().autodiff();
    device.seed(0);
    let strided = Conv2dConfig::new([3, 5], [4, 4]).with_stride([2, 2]);
    let layers =
        LAYERS.map(|(channels, kernel, size)| (Conv2dConfig::new(channels, [kernel; 2]), channels[0], size));
    for (config, channels, size) in layers.into_iter().chain([(strided, 3, 12)]) {
        let layer = config.init(&device);
        let input = Tensor::<4>::random([9, channels, size, size], Distribution::Normal(0.0, 1.0), &device);
        // Output and the input's gradient, under the square of the outputs.
        let passes = |input: Tensor<4>| {
            let input = input.require_grad();
            let output = conv2d(&layer, input.clone());
            let gradients = output.clone().powi_scalar(2).sum().backward();
            [output.inner(), input.grad(&gradients).unwrap()]
        };
        let whole = passes(input.clone());
        for sample in 0..9 {
            let alone = passes(input.clone().narrow(0, sample, 1).detach());
            for (alone, whole) in alone.into_iter().zip(&whole) {
                assert_eq!(alone.into_data(), whole.clone().narrow(0, sample, 1).into_data());
            }
        }
    }
}

/// Random images, with the channels last in memory or first.
fn images(sizes: [usize; 4], is_channels_last: bool, device: &Device) -> Tensor<4> {
    let [samples, channels, height, width] = sizes;
    let images = Tensor::random([samples, height, width, channels], Distribution::Normal(0.0, 1.0), device);
    if is_channels_last { images.permute([0, 3, 1, 2]) } else { images.reshape(sizes) }
}

#[test]
fn dense_layers_are_burns_and_do_not_depend_on_the_batch() {
    let device = Device::flex().autodiff();
    device.seed(0);
    for (outputs, is_channels_last, bias) in
        [(10, true, true), (64, false, false), (100, true, false), (3, false, true)]
    {
        let layer = LinearConfig::new(20 * 5 * 3, outputs).with_bias(bias).init(&device);
        let input = images([53, 20, 5, 3], is_channels_last, &device);
        let passes = |input: Tensor<4>, forward: &dyn Fn(Tensor<4>) -> Tensor<2>| {
            let input = input.detach().require_grad();
            let output = forward(input.clone());
            let gradients = output.clone().powi_scalar(2).sum().backward();
            let bias = layer.bias.as_ref().map(|bias| bias.grad(&gradients).unwrap());
            let parameters = (layer.weight.grad(&gradients).unwrap(), bias);
            (output.inner(), input.grad(&gradients).unwrap(), parameters)
        };
        let ours = passes(input.clone(), &|input| linear(&layer, input));
        let burns = passes(input.clone(), &|input| layer.forward(input.flatten(1, 3)));
        // Sums of at most 300 products of size 1.
        let close = Tolerance::absolute(1e-4);
        ours.0.to_data().assert_approx_eq::<f32>(&burns.0.into_data(), close);
        ours.1.to_data().assert_approx_eq::<f32>(&burns.1.into_data(), close);
        ours.2.0.to_data().assert_approx_eq::<f32>(&burns.2.0.into_data(), Tolerance::rel_abs(1e-4, 1e-3));
        if let (Some(ours), Some(burns)) = (ours.2.1, burns.2.1) {
            ours.into_data().assert_approx_eq::<f32>(&burns.into_data(), Tolerance::rel_abs(1e-4, 1e-3));
        }
        let alone = passes(input.narrow(0, 7, 1), &|input| linear(&layer, input));
        assert_eq!(alone.0.into_data(), ours.0.narrow(0, 7, 1).into_data());
        assert_eq!(alone.1.into_data(), ours.1.narrow(0, 7, 1).into_data());
    }
    // Other ranks, and what is left to Burn.
    let layer = LinearConfig::new(6, 2).init(&device);
    let rows = Tensor::<2>::ones([3, 6], &device);
    let expected = layer.forward(rows.clone()).into_data();
    linear(&layer, rows.clone()).into_data().assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-6));
    linear(&layer, rows.reshape([3, 2, 3]))
        .into_data()
        .assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-6));
    assert_eq!(linear(&layer, Tensor::<2>::ones([0, 6], &device)).dims(), [0, 2]);
}

#[test]
fn the_rectifier_is_burns() {
    let device = Device::flex().autodiff();
    device.seed(0);
    for (sizes, is_channels_last) in [([3, 5, 7, 2], true), ([3, 5, 7, 2], false), ([20, 16, 32, 32], true)] {
        let input = images(sizes, is_channels_last, &device);
        let passes = |forward: &dyn Fn(Tensor<4>) -> Tensor<4>| {
            let input = input.clone().detach().require_grad();
            let output = forward(input.clone());
            let gradients = output.clone().powi_scalar(3).sum().backward();
            [output.inner().into_data(), input.grad(&gradients).unwrap().into_data()]
        };
        let before = input.to_data();
        assert_eq!(passes(&relu), passes(&burn::tensor::activation::relu));
        assert_eq!(input.into_data(), before);
    }
    let x = Tensor::<1>::from_data([f32::NAN, -0.0, f32::INFINITY], &device.inner());
    let [first, second, third] = relu(x).into_data().try_to_vec::<f32>().unwrap().try_into().unwrap();
    assert!(first.is_nan() && second == 0.0 && third == f32::INFINITY);
}

#[test]
fn nan_reaches_what_it_belongs_to_alone() {
    let device = Device::flex();
    let layer = Conv2dConfig::new([1, 1], [3, 3]).init(&device);
    let mut values = vec![1.0f32; 100];
    values[55] = f32::NAN;
    let input = Tensor::<4>::from_data(TensorData::new(values, [1, 1, 10, 10]), &device);
    let output = conv2d(&layer, input).into_data().try_to_vec::<f32>().unwrap();
    for (place, value) in output.iter().enumerate() {
        let (y, x) = (place / 8, place % 8);
        assert_eq!(value.is_nan(), (3..=5).contains(&y) && (3..=5).contains(&x), "{y} {x}");
    }
}

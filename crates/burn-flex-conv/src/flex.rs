//! The operation on flex tensors.

use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::Shape;
use burn::tensor::ops::ConvOptions;

use crate::activation;
use crate::format::{
    Format, channels_last, contiguous, dims, format, ordered, recycled_channels_last, tensor, values,
    values_mut,
};
use crate::kernels::{self, Addend, Geometry};
use crate::memory::{self, give_back};
use crate::op::{ConvKernels, Weights};
use crate::packed::{Pass, packed};
use crate::profile;

impl ConvKernels for Flex {
    fn forward(
        input: FlexTensor,
        weight: Weights<Self>,
        bias: Option<FlexTensor>,
        options: &ConvOptions<2>,
    ) -> FlexTensor {
        let [samples, channels, height, width] = dims(&input);
        let weight = weight.map(contiguous);
        let geometry = geometry([channels, height, width], dims(&weight.values), options);
        let bias = bias.map(contiguous);
        timed("convolution", &geometry, || {
            let (input, format) = ordered(input);
            let bias = bias.as_ref().map_or(Addend::Nothing, |bias| Addend::Bias(values(bias)));
            let [height, width] = geometry.output_size();
            let mut output = recycled_channels_last([samples, geometry.outputs, height, width]);
            let outputs = values_mut(&mut output);
            packed(&weight, Pass::Forward, &geometry).run(values(&input), format, bias, outputs);
            give_back(input);
            output
        })
    }

    fn format(tensor: &FlexTensor) -> Option<Format> {
        format(tensor)
    }

    fn input_gradient(
        [height, width]: [usize; 2],
        order: Option<Format>,
        weight: Weights<Self>,
        gradient: FlexTensor,
        others: Option<FlexTensor>,
        options: &ConvOptions<2>,
    ) -> FlexTensor {
        let weight = weight.map(contiguous);
        let [_, channels, ..] = dims(&weight.values);
        let geometry = geometry([channels, height, width], dims(&weight.values), options);
        timed("convolution, its input's gradient", &geometry, || {
            let (gradient, format) = ordered(gradient);
            let sizes = [dims(&gradient)[0], channels, height, width];
            let addend = if others.is_some() { Addend::Outputs } else { Addend::Nothing };
            let mut output = others.map_or_else(|| recycled_channels_last(sizes), channels_last);
            let outputs = values_mut(&mut output);
            packed(&weight, Pass::InputGradient, &geometry).run(values(&gradient), format, addend, outputs);
            give_back(gradient);
            in_order(output, order)
        })
    }

    fn weight_gradient(
        input: FlexTensor,
        sizes: [usize; 4],
        gradient: FlexTensor,
        options: &ConvOptions<2>,
    ) -> FlexTensor {
        let [_, channels, height, width] = dims(&input);
        let geometry = geometry([channels, height, width], sizes, options);
        timed("convolution, its weights' gradient", &geometry, || {
            let [(input, input_format), (gradient, gradient_format)] = [input, gradient].map(ordered);
            let sums = kernels::weight_gradient(
                &geometry,
                (values(&input), input_format),
                (values(&gradient), gradient_format),
            );
            [input, gradient].into_iter().for_each(give_back);
            tensor(sums, Shape::new(sizes))
        })
    }

    fn bias_gradient(gradient: FlexTensor) -> FlexTensor {
        let shape = gradient.shape();
        let gradient = if shape.num_dims() == 4 { channels_last(gradient) } else { contiguous(gradient) };
        let sums = kernels::bias_gradient(values(&gradient), shape[1]);
        tensor(sums, Shape::new([shape[1]]))
    }

    fn dense_forward(input: FlexTensor, weight: Weights<Self>, bias: Option<FlexTensor>) -> FlexTensor {
        let [samples, channels, height, width] = dims(&input);
        let weight = weight.map(contiguous);
        let geometry = dense([channels, height, width], &weight.values);
        let bias = bias.map(contiguous);
        let bias = bias.as_ref().map_or(Addend::Nothing, |bias| Addend::Bias(values(bias)));
        timed("dense layer", &geometry, || {
            let (input, format) = ordered(input);
            let mut output = memory::recycled(Shape::new([samples, geometry.outputs]));
            let outputs = values_mut(&mut output);
            packed(&weight, Pass::Dense, &geometry).run(values(&input), format, bias, outputs);
            give_back(input);
            output
        })
    }

    fn dense_input_gradient(
        [channels, height, width]: [usize; 3],
        order: Option<Format>,
        weight: Weights<Self>,
        gradient: FlexTensor,
    ) -> FlexTensor {
        let weight = weight.map(contiguous);
        let geometry = dense([channels, height, width], &weight.values);
        timed("dense layer, its input's gradient", &geometry, || {
            let gradient = contiguous(gradient);
            let mut output = recycled_channels_last([gradient.shape()[0], channels, height, width]);
            packed(&weight, Pass::DenseInputGradient, &geometry).run(
                values(&gradient),
                Format::ChannelsLast,
                Addend::Nothing,
                values_mut(&mut output),
            );
            in_order(output, order)
        })
    }

    fn dense_weight_gradient(input: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let [samples, channels, height, width] = dims(&input);
        let rows = contiguous(input).reshape(Shape::new([samples, channels * height * width]));
        Self::float_matmul(rows.transpose(0, 1), contiguous(gradient))
    }

    fn rectify(input: FlexTensor) -> FlexTensor {
        profile::time(
            || "rectifier".to_owned(),
            || {
                let (mut values, _) = ordered(input);
                activation::relu(values_mut(&mut values));
                values
            },
        )
    }

    fn rectify_gradient(output: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        profile::time(
            || "rectifier, its gradient".to_owned(),
            || {
                let mut gradient = match format(&output) {
                    Some(Format::ChannelsLast) => channels_last(gradient),
                    _ => contiguous(gradient),
                };
                activation::gate(values_mut(&mut gradient), values(&output));
                give_back(output);
                gradient
            },
        )
    }
}

/// Runs an operation with these sizes, and counts its time during a [measurement](profile::measure).
fn timed<T>(what: &str, geometry: &Geometry, work: impl FnOnce() -> T) -> T {
    let Geometry { channels, outputs, kernel: [height, width], .. } = geometry;
    let [rows, columns] = geometry.output_size();
    let name = || {
        let [down, across] = geometry.stride;
        let stride = if [down, across] == [1, 1] { String::new() } else { format!(" / {down} × {across}") };
        format!("{channels} → {outputs}, {height} × {width}{stride}, {rows} × {columns}: {what}")
    };
    profile::time(name, work)
}

/// Returns a tensor with the channels last, or with the channels first if those of the input were.
///
/// The next operation, such as the step of an attack, often combines the result with the input, and would be slow on two different
/// orders.
fn in_order(tensor: FlexTensor, order: Option<Format>) -> FlexTensor {
    if order == Some(Format::ChannelsLast) || tensor.is_contiguous() {
        return tensor;
    }
    let first = tensor.to_contiguous();
    give_back(tensor);
    first
}

/// The geometry of a dense layer: a convolution whose kernel is as large as its images.
fn dense(image: [usize; 3], weight: &FlexTensor) -> Geometry {
    let [channels, height, width] = image;
    let outputs = weight.shape()[1];
    geometry(image, [outputs, channels, height, width], &ConvOptions::new([1, 1], [0, 0], [1, 1], 1))
}

fn geometry(
    [channels, height, width]: [usize; 3],
    [outputs, _, kernel_height, kernel_width]: [usize; 4],
    options: &ConvOptions<2>,
) -> Geometry {
    Geometry {
        channels,
        outputs,
        input: [height, width],
        kernel: [kernel_height, kernel_width],
        stride: options.stride,
        before: options.padding.map(|(before, _)| before),
        after: options.padding.map(|(_, after)| after),
    }
}

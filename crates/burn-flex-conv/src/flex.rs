//! The operation on flex tensors.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use burn::tensor::ops::ConvOptions;

use crate::format::{
    Format, channels_last, contiguous, dims, format, ordered, recycled, tensor, values, values_mut,
};
use crate::kernels::{self, Addend, Geometry};
use crate::memory::give_back;
use crate::op::ConvKernels;
use crate::packed::{Pass, packed};

impl ConvKernels for Flex {
    fn forward(
        input: FlexTensor,
        weight: FlexTensor,
        bias: Option<FlexTensor>,
        options: &ConvOptions<2>,
    ) -> FlexTensor {
        let [samples, channels, height, width] = dims(&input);
        let weight = contiguous(weight);
        let geometry = geometry([channels, height, width], dims(&weight), options);
        let bias = bias.map(contiguous);
        let (input, format) = ordered(input);
        let bias = bias.as_ref().map_or(Addend::Nothing, |bias| Addend::Bias(values(bias)));
        let [height, width] = geometry.output_size();
        let mut output = recycled([samples, geometry.outputs, height, width]);
        packed(&weight, Pass::Forward, &geometry).run(values(&input), format, bias, values_mut(&mut output));
        give_back(input);
        output
    }

    fn format(tensor: &FlexTensor) -> Option<Format> {
        format(tensor)
    }

    fn input_gradient(
        [height, width]: [usize; 2],
        order: Option<Format>,
        weight: FlexTensor,
        gradient: FlexTensor,
        others: Option<FlexTensor>,
        options: &ConvOptions<2>,
    ) -> FlexTensor {
        let weight = contiguous(weight);
        let [_, channels, ..] = dims(&weight);
        let geometry = geometry([channels, height, width], dims(&weight), options);
        let (gradient, format) = ordered(gradient);
        let sizes = [dims(&gradient)[0], channels, height, width];
        let addend = if others.is_some() { Addend::Outputs } else { Addend::Nothing };
        let mut output = others.map_or_else(|| recycled(sizes), channels_last);
        packed(&weight, Pass::InputGradient, &geometry).run(
            values(&gradient),
            format,
            addend,
            values_mut(&mut output),
        );
        give_back(gradient);
        match order {
            Some(Format::ChannelsLast) => output,
            // What follows, such as the step of an attack, meets the input again: values in another order would be slow.
            _ => output.to_contiguous(),
        }
    }

    fn weight_gradient(
        input: FlexTensor,
        sizes: [usize; 4],
        gradient: FlexTensor,
        options: &ConvOptions<2>,
    ) -> FlexTensor {
        let [_, channels, height, width] = dims(&input);
        let geometry = geometry([channels, height, width], sizes, options);
        let [(input, input_format), (gradient, gradient_format)] = [input, gradient].map(ordered);
        let sums = kernels::weight_gradient(
            &geometry,
            (values(&input), input_format),
            (values(&gradient), gradient_format),
        );
        tensor(sums, Shape::new(sizes))
    }

    fn bias_gradient(gradient: FlexTensor) -> FlexTensor {
        let channels = dims(&gradient)[1];
        let sums = kernels::bias_gradient(values(&channels_last(gradient)), channels);
        tensor(sums, Shape::new([channels]))
    }
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

//! The convolution on the CPU backend flex.

mod axis;
mod backward;
mod batch;
mod correlation;
mod forward;

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::ops::ConvOptions;

use self::backward::Backward;
use self::forward::Forward;
use super::backend::ConvKernels;
use crate::flex::{contiguous, tensor, values};

impl ConvKernels for Flex {
    fn forward(
        input: FlexTensor,
        weight: FlexTensor,
        bias: Option<FlexTensor>,
        options: &ConvOptions<2>,
    ) -> FlexTensor {
        let [input, weight] = [input, weight].map(contiguous);
        let bias = bias.map(contiguous);
        let [samples, channels, height, width] = dims(&input);
        let plan = Forward::new([channels, height, width], values(&weight), dims(&weight), options);
        let output = plan.run(values(&input), bias.as_ref().map(values));
        tensor(output, [samples, plan.outputs(), plan.size()[0], plan.size()[1]].into())
    }

    fn input_gradient(
        size: [usize; 2],
        weight: FlexTensor,
        gradient: FlexTensor,
        options: &ConvOptions<2>,
    ) -> FlexTensor {
        let [weight, gradient] = [weight, gradient].map(contiguous);
        let [samples, _, height, width] = dims(&gradient);
        let plan = Backward::new(size, [height, width], values(&weight), dims(&weight), options);
        let output = plan.run(values(&gradient));
        tensor(output, [samples, dims(&weight)[1], size[0], size[1]].into())
    }
}

fn dims(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

//! The convolution on the CPU backend flex.

mod axis;
mod backward;
mod batch;
mod correlation;
mod forward;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Bytes, DType, Shape};

use self::backward::Backward;
use self::forward::Forward;
use super::backend::ConvKernels;

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
        tensor(output, [samples, plan.outputs(), plan.size()[0], plan.size()[1]])
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
        tensor(output, [samples, dims(&weight)[1], size[0], size[1]])
    }
}

fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

fn dims(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

/// The values of a contiguous tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("contiguous and single precision")
}

fn tensor(values: Vec<f32>, shape: [usize; 4]) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(Shape::new(shape)), DType::F32)
}

//! The operation on tensors in which the values of a channel are contiguous.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn_flex_conv::format::{Format, contiguous, tensor, values};

use super::super::backend::{AffineGradients, InputGradients, Normalised, Optional, Wanted, Wings};
use super::super::geometry::Geometry;
use super::kernels::{self, Pull};
use super::{Saved, affine, exclusive, lines, normalised, pulls};
use crate::wings::Activation;

pub(super) fn forward(
    mut input: FlexTensor,
    wings: Wings<Flex>,
    epsilon: f64,
    activation: Activation,
    wanted: Option<Wanted>,
) -> (Normalised<Flex>, Saved) {
    let shape = input.layout().shape().clone();
    let geometry = Geometry::new(&shape);
    let (first, fixed, batch) = wings.split(geometry.samples);
    let moments = batch.as_ref().map(|_| kernels::batch_moments(values(&input), &geometry, first));
    let lines = lines(first, fixed, batch.zip(moments.as_deref()), epsilon);
    let keep = wanted.is_some_and(|wanted| wanted.needs_input(moments.is_some(), activation));
    let saved = Saved {
        format: Format::ChannelsFirst,
        input: keep.then(|| input.clone()),
        output: None,
        shape: shape.clone(),
        lines,
        activation,
    };
    let output = if let Some(input_values) = exclusive(&mut input) {
        match activation {
            Activation::Identity => kernels::forward_in_place::<false>(input_values, &geometry, &saved.lines),
            Activation::Relu => kernels::forward_in_place::<true>(input_values, &geometry, &saved.lines),
        }
        input
    } else {
        let output = match activation {
            Activation::Identity => kernels::forward::<false>(values(&input), &geometry, &saved.lines),
            Activation::Relu => kernels::forward::<true>(values(&input), &geometry, &saved.lines),
        };
        tensor(output, shape)
    };
    (normalised(output, moments), saved)
}

pub(super) fn backward(saved: Saved, gradient: FlexTensor, wanted: Wanted) -> InputGradients<Flex> {
    match saved.activation {
        Activation::Identity => backward_of::<false>(saved, gradient, wanted),
        Activation::Relu => backward_of::<true>(saved, gradient, wanted),
    }
}

fn backward_of<const RELU: bool>(saved: Saved, gradient: FlexTensor, wanted: Wanted) -> InputGradients<Flex> {
    let Saved { input, shape, lines, .. } = saved;
    let geometry = Geometry::new(&shape);
    let input: &[f32] = input.as_ref().map(values).unwrap_or_default();
    let mut gradient = contiguous(gradient);

    let sums = |samples| kernels::gradient_sums::<RELU>(values(&gradient), input, &geometry, &lines, samples);
    let fixed = wanted.fixed.then(|| sums(0..lines.first));
    // The input's gradient needs the sums of the batch wing even if its gamma and beta are not trained.
    let batch = (!lines.batch.is_empty()).then(|| sums(lines.first..geometry.samples));
    let count = (geometry.samples - lines.first) * geometry.space;
    let pulls: Vec<Pull> = pulls(batch.as_ref(), &lines, count);
    let fixed = fixed.map(|sums| affine(&sums, &lines.fixed));
    let batch = batch.filter(|_| wanted.batch).map(|sums| affine(&sums, &lines.batch));

    let input = wanted.input.then(|| {
        if exclusive(&mut gradient).is_none() {
            gradient = tensor(values(&gradient).to_vec(), shape);
        }
        let written = exclusive(&mut gradient).expect("a fresh tensor is not shared");
        kernels::backward::<RELU>(written, input, &geometry, &lines, &pulls);
        gradient
    });
    let [fixed, batch] = [fixed, batch].map(AffineGradients::new);
    InputGradients { input: Optional::new(input), residual: Optional::None, fixed, batch }
}

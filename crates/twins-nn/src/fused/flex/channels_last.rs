//! The operation on tensors in which the channels of a pixel are contiguous.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn_flex_conv::activation::gate;
use burn_flex_conv::format::{Format, channels_last, recycled_channels_last, values, values_mut};
use burn_flex_conv::memory::give_back;

use super::super::backend::{AffineGradients, InputGradients, Normalised, Optional, Wanted, Wings};
use super::super::geometry::Geometry;
use super::{Saved, affine, exclusive, lines, normalised, pixels, pulls};
use crate::wings::Activation;

pub(super) fn forward(
    input: FlexTensor,
    residual: Option<FlexTensor>,
    wings: Wings<Flex>,
    epsilon: f64,
    activation: Activation,
    wanted: Option<Wanted>,
) -> (Normalised<Flex>, Saved) {
    let mut input = channels_last(input);
    let residual = residual.map(channels_last);
    let shape = input.layout().shape().clone();
    let geometry = Geometry::new(&shape);
    let (first, fixed, batch) = wings.split(geometry.samples);
    // The position of the batch wing's first value.
    let begin = first * geometry.space * geometry.channels;
    let moments = batch.as_ref().map(|_| pixels::moments(&values(&input)[begin..], geometry.channels));
    let lines = lines(first, fixed, batch.zip(moments.as_deref()), epsilon);
    let keep = wanted.is_some_and(|wanted| moments.is_some() || wanted.fixed);
    let kept = keep.then(|| input.clone());

    let write = |x: Option<&[f32]>, out: &mut [f32]| {
        let residual = residual.as_ref().map(values);
        let forward = match activation {
            Activation::Identity => pixels::forward::<false>,
            Activation::Relu => pixels::forward::<true>,
        };
        let (fixed, batch) = out.split_at_mut(begin);
        if !lines.fixed.is_empty() {
            forward(x.map(|x| &x[..begin]), residual.map(|r| &r[..begin]), fixed, &lines.fixed);
        }
        if !lines.batch.is_empty() {
            forward(x.map(|x| &x[begin..]), residual.map(|r| &r[begin..]), batch, &lines.batch);
        }
    };
    let output = if let Some(input_values) = exclusive(&mut input) {
        write(None, input_values);
        input
    } else {
        let mut output = recycled_channels_last([shape[0], shape[1], shape[2], shape[3]]);
        write(Some(values(&input)), values_mut(&mut output));
        output
    };
    let gates = wanted.is_some() && activation == Activation::Relu;
    let saved = Saved {
        format: Format::ChannelsLast,
        input: kept,
        output: gates.then(|| output.clone()),
        shape,
        lines,
        activation,
    };
    (normalised(output, moments), saved)
}

pub(super) fn backward(saved: Saved, gradient: FlexTensor, wanted: Wanted) -> InputGradients<Flex> {
    let Saved { input: kept_input, output: kept_output, shape, lines, .. } = saved;
    let geometry = Geometry::new(&shape);
    let begin = lines.first * geometry.space * geometry.channels;
    let input: &[f32] = kept_input.as_ref().map(values).unwrap_or_default();
    let mut y = kept_output.as_ref().map(values);
    let mut gradient = channels_last(gradient);
    let fresh = || recycled_channels_last([shape[0], shape[1], shape[2], shape[3]]);

    // The residual bypasses the normalisation: its gradient is the output's gradient after ReLU's backward
    // pass.
    let residual = wanted.residual.then(|| {
        if let Some(y) = y.take() {
            if exclusive(&mut gradient).is_none() {
                let mut copy = fresh();
                values_mut(&mut copy).copy_from_slice(values(&gradient));
                gradient = copy;
            }
            let gated = exclusive(&mut gradient).expect("a fresh tensor is not shared");
            gate(gated, y);
        }
        gradient.clone()
    });

    let fixed = wanted.fixed.then(|| {
        let gradient = &values(&gradient)[..begin];
        pixels::gradient_sums(gradient, &input[..begin], y.map(|y| &y[..begin]), &lines.fixed)
    });
    // The input's gradient needs the sums of the batch wing even if its gamma and beta are not trained.
    let batch = (!lines.batch.is_empty()).then(|| {
        let gradient = &values(&gradient)[begin..];
        pixels::gradient_sums(gradient, &input[begin..], y.map(|y| &y[begin..]), &lines.batch)
    });
    let pulls = pulls(batch.as_ref(), &lines, (geometry.samples - lines.first) * geometry.space);
    let fixed = fixed.map(|sums| affine(&sums, &lines.fixed));
    let batch = batch.filter(|_| wanted.batch).map(|sums| affine(&sums, &lines.batch));

    let write = |gradient: Option<&[f32]>, out: &mut [f32]| {
        let (of_fixed, of_batch) = out.split_at_mut(begin);
        if !lines.fixed.is_empty() {
            let gradient = gradient.map(|gradient| &gradient[..begin]);
            pixels::backward_fixed(gradient, y.map(|y| &y[..begin]), of_fixed, &lines.fixed);
        }
        if !lines.batch.is_empty() {
            let gradient = gradient.map(|gradient| &gradient[begin..]);
            let (x, y) = (&input[begin..], y.map(|y| &y[begin..]));
            pixels::backward_batch(gradient, x, y, of_batch, &lines.batch, &pulls);
        }
    };
    let input = wanted.input.then(|| {
        if let Some(written) = exclusive(&mut gradient) {
            write(None, written);
            return gradient;
        }
        let mut written = fresh();
        write(Some(values(&gradient)), values_mut(&mut written));
        written
    });
    [kept_input, kept_output].into_iter().flatten().for_each(give_back);
    let [input, residual] = [input, residual].map(Optional::new);
    let [fixed, batch] = [fixed, batch].map(AffineGradients::new);
    InputGradients { input, residual, fixed, batch }
}

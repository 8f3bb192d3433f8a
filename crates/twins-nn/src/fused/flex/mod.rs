//! The operation on the CPU backend flex.

mod kernels;
mod planes;
mod sums;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;

use self::kernels::{Line, Lines, Pull};
use self::sums::{GradientSums, Moments};
use super::backend::{BatchWing, FixedWing, InputGradients, NormKernels, Normalised, Wanted, Wings};
use super::geometry::Geometry;
use crate::flex::{contiguous, tensor, values};
use crate::wings::Activation;

/// What the backward pass on flex needs.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Absent where the gradients do not depend on it.
    input: Option<FlexTensor>,
    shape: Shape,
    lines: Lines,
    activation: Activation,
}

impl NormKernels for Flex {
    type Saved = Saved;

    fn forward(
        input: FlexTensor,
        wings: Wings<Self>,
        epsilon: f64,
        activation: Activation,
        wanted: Option<Wanted>,
    ) -> (Normalised<Self>, Saved) {
        let mut input = contiguous(input);
        let shape = input.layout().shape().clone();
        let geometry = Geometry::new(&shape);
        let (first, fixed, batch) = wings.share(geometry.samples);
        let moments = batch.as_ref().map(|_| kernels::batch_moments(values(&input), &geometry, first));
        let lines = Lines {
            first,
            fixed: fixed.map(|wing| fixed_lines(&wing, epsilon)).unwrap_or_default(),
            batch: batch
                .zip(moments.as_ref())
                .map(|(wing, m)| batch_lines(&wing, m, epsilon))
                .unwrap_or_default(),
        };
        let keep = wanted.is_some_and(|wanted| wanted.needs_input(moments.is_some(), activation));
        let saved = Saved { input: keep.then(|| input.clone()), shape: shape.clone(), lines, activation };

        let output = if let Some(input_values) = exclusive(&mut input) {
            match activation {
                Activation::Identity => {
                    kernels::forward_in_place::<false>(input_values, &geometry, &saved.lines)
                }
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
        let normalised = match moments {
            None => Normalised::Fixed(output),
            Some(moments) => {
                let statistic =
                    |of: fn(&Moments) -> f64| vector(moments.iter().map(|m| of(m) as f32).collect());
                Normalised::Batch {
                    output,
                    mean: statistic(|m| m.mean),
                    variance: statistic(Moments::variance),
                }
            }
        };
        (normalised, saved)
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: Wanted) -> InputGradients<Self> {
        match saved.activation {
            Activation::Identity => backward::<false>(saved, gradient, wanted),
            Activation::Relu => backward::<true>(saved, gradient, wanted),
        }
    }
}

fn backward<const RELU: bool>(saved: Saved, gradient: FlexTensor, wanted: Wanted) -> InputGradients<Flex> {
    let Saved { input, shape, lines, .. } = saved;
    let geometry = Geometry::new(&shape);
    let input: &[f32] = input.as_ref().map(values).unwrap_or_default();
    let mut gradient = contiguous(gradient);

    let sums = |samples| kernels::gradient_sums::<RELU>(values(&gradient), input, &geometry, &lines, samples);
    let fixed = wanted.fixed.then(|| sums(0..lines.first));
    // The input's gradient needs those of the batch wing whether its gamma and beta are trained or not.
    let batch = (!lines.batch.is_empty()).then(|| sums(lines.first..geometry.samples));
    let affine = |sums: &[GradientSums], lines: &[Line]| {
        let (gamma, beta) =
            sums.iter().zip(lines).map(|(sums, line)| line.affine_gradient(sums).into()).unzip();
        [gamma, beta].map(vector)
    };
    let fixed = fixed.map(|sums| affine(&sums, &lines.fixed));
    let count = (geometry.samples - lines.first) * geometry.space;
    let pulls: Vec<Pull> =
        (batch.iter().flatten().zip(&lines.batch)).map(|(sums, line)| Pull::new(line, sums, count)).collect();
    let batch = batch.filter(|_| wanted.batch).map(|sums| affine(&sums, &lines.batch));

    let input = wanted.input.then(|| {
        if exclusive(&mut gradient).is_none() {
            gradient = tensor(values(&gradient).to_vec(), shape);
        }
        let written = exclusive(&mut gradient).expect("a fresh tensor is not shared");
        kernels::backward::<RELU>(written, input, &geometry, &lines, &pulls);
        gradient
    });
    InputGradients { input, fixed, batch }
}

fn fixed_lines(wing: &FixedWing<Flex>, epsilon: f64) -> Vec<Line> {
    let [gamma, beta, mean, variance] =
        [&wing.gamma, &wing.beta, &wing.mean, &wing.variance].map(|t| contiguous(t.clone()));
    let [gamma, beta, mean, variance] = [&gamma, &beta, &mean, &variance].map(values);
    (0..gamma.len())
        .map(|c| Line::new(mean[c].into(), variance[c].into(), gamma[c], beta[c], epsilon))
        .collect()
}

fn batch_lines(wing: &BatchWing<Flex>, moments: &[Moments], epsilon: f64) -> Vec<Line> {
    let [gamma, beta] = [&wing.gamma, &wing.beta].map(|t| contiguous(t.clone()));
    let [gamma, beta] = [&gamma, &beta].map(values);
    (moments.iter().enumerate())
        .map(|(c, m)| Line::new(m.mean, m.variance(), gamma[c], beta[c], epsilon))
        .collect()
}

/// The values of a contiguous tensor that nobody else holds, and that is not a part of a larger one.
fn exclusive(tensor: &mut FlexTensor) -> Option<&mut [f32]> {
    let (offset, elements) = (tensor.layout().start_offset(), tensor.layout().num_elements());
    tensor.try_storage_mut().filter(|storage| offset == 0 && storage.len() == elements)
}

fn vector(values: Vec<f32>) -> FlexTensor {
    let shape = Shape::new([values.len()]);
    tensor(values, shape)
}

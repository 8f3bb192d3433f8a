//! The operation on the CPU backend flex.

mod channels_first;
mod channels_last;
mod kernels;
mod pixels;
mod planes;
mod sums;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use burn_flex_conv::format::{Format, contiguous, format, tensor, values};

use self::kernels::{Line, Lines, Pull};
use self::sums::{GradientSums, Moments};
use super::backend::{BatchWing, FixedWing, InputGradients, NormKernels, Normalised, Wanted, Wings};
use crate::wings::Activation;

/// What the backward pass on flex needs.
#[derive(Debug, Clone)]
pub struct Saved {
    format: Format,
    /// Absent if the gradients do not depend on it.
    input: Option<FlexTensor>,
    /// Present if the gradients depend on the output rather than on the input.
    output: Option<FlexTensor>,
    shape: Shape,
    lines: Lines,
    activation: Activation,
}

impl NormKernels for Flex {
    type Saved = Saved;

    fn forward(
        input: FlexTensor,
        residual: Option<FlexTensor>,
        wings: Wings<Self>,
        epsilon: f64,
        activation: Activation,
        wanted: Option<Wanted>,
    ) -> (Normalised<Self>, Saved) {
        timed("normalisation", input.layout().shape().clone(), || {
            if residual.is_some() || format(&input) == Some(Format::ChannelsLast) {
                channels_last::forward(input, residual, wings, epsilon, activation, wanted)
            } else {
                channels_first::forward(contiguous(input), wings, epsilon, activation, wanted)
            }
        })
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: Wanted) -> InputGradients<Self> {
        timed("its gradient", gradient.layout().shape().clone(), || match saved.format {
            Format::ChannelsFirst => channels_first::backward(saved, gradient, wanted),
            Format::ChannelsLast => channels_last::backward(saved, gradient, wanted),
        })
    }
}

/// Runs an operation on a tensor of this shape, and counts its time during a
/// [measurement](burn_flex_conv::profile::measure).
fn timed<T>(what: &str, shape: Shape, work: impl FnOnce() -> T) -> T {
    let name = || {
        let sizes: Vec<String> = shape[1..].iter().map(usize::to_string).collect();
        format!("{}: {what}", sizes.join(" × "))
    };
    burn_flex_conv::profile::time(name, work)
}

/// The lines of both wings. `moments` are those of the batch wing's samples.
fn lines(
    first: usize,
    fixed: Option<FixedWing<Flex>>,
    batch: Option<(BatchWing<Flex>, &[Moments])>,
    epsilon: f64,
) -> Lines {
    Lines {
        first,
        fixed: fixed.map(|wing| fixed_lines(&wing, epsilon)).unwrap_or_default(),
        batch: batch.map(|(wing, moments)| batch_lines(&wing, moments, epsilon)).unwrap_or_default(),
    }
}

/// The output with the statistics of the batch wing.
fn normalised(output: FlexTensor, moments: Option<Vec<Moments>>) -> Normalised<Flex> {
    let Some(moments) = moments else { return Normalised::Fixed(output) };
    let statistic = |of: fn(&Moments) -> f64| vector(moments.iter().map(|m| of(m) as f32).collect());
    Normalised::Batch { output, mean: statistic(|m| m.mean), variance: statistic(Moments::variance) }
}

/// The gradients of gamma and beta.
fn affine(sums: &[GradientSums], lines: &[Line]) -> [FlexTensor; 2] {
    let (gamma, beta) = sums.iter().zip(lines).map(|(sums, line)| line.affine_gradient(sums).into()).unzip();
    [gamma, beta].map(vector)
}

/// The correction that the batch wing's statistics subtract from the gradient of each of the `count` values of
/// a channel.
fn pulls(sums: Option<&Vec<GradientSums>>, lines: &Lines, count: usize) -> Vec<Pull> {
    let sums = sums.into_iter().flatten().zip(&lines.batch);
    sums.map(|(sums, line)| Pull::new(line, sums, count)).collect()
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

/// The values of a contiguous tensor whose memory no other tensor shares and which is not part of a larger one.
fn exclusive(tensor: &mut FlexTensor) -> Option<&mut [f32]> {
    let elements = tensor.layout().num_elements();
    tensor.try_storage_mut().filter(|storage| storage.len() == elements)
}

fn vector(values: Vec<f32>) -> FlexTensor {
    let shape = Shape::new([values.len()]);
    tensor(values, shape)
}

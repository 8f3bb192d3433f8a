//! Launches the kernels.

use std::array;

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::{ElemType, FloatKind, VectorSize};
use cubecl::prelude::*;

use super::kernels::{self, Units};
use super::rows::Rows;
use crate::fused::geometry::Geometry;
use crate::wings::Activation;

/// Units of a cube, within what every device allows.
const UNITS: u32 = 256;

/// Units of a cube with neighbouring channels, at most: they read whole cache lines together.
const MOST_ALONG: u32 = 32;

/// Rows that a unit adds up: few enough for a cube's to fit a core's first-level cache, since they are read twice.
const SUMMED_ROWS: usize = 16;

/// Rows that a unit writes: enough for what it looks up for its channels to be worth it.
const WRITTEN_ROWS: usize = 4;

/// Cubes that a dimension of a launch may have on every device.
const MOST_CUBES: usize = 65_535;

/// Numbers that a line has.
const LINE: usize = 5;

/// A short row is spread out in memory to this many times its length at most.
const MOST_SPREAD: usize = 8;

/// Whether the kernels can be launched for an input of these sizes: values are counted in 32 bits. Rows may be any number.
pub(in crate::fused) fn fits(geometry: &Geometry) -> bool {
    let Geometry { samples, channels, space } = *geometry;
    u32::try_from(samples * channels * space * MOST_SPREAD).is_ok() && channels / UNITS as usize <= MOST_CUBES
}

/// The shape of a wing's lines.
pub(super) fn lines_shape(channels: usize) -> Shape {
    Shape::new([LINE, channels])
}

/// The fixed wing's parameters, contiguous.
pub(super) struct Fixed {
    pub(super) gamma: CubeTensor,
    pub(super) beta: CubeTensor,
    pub(super) mean: CubeTensor,
    pub(super) variance: CubeTensor,
}

/// The lines of the wings that there are; at least one.
pub(super) struct Lines {
    pub(super) fixed: Option<CubeTensor>,
    pub(super) batch: Option<CubeTensor>,
}

impl Lines {
    /// What to bind for both: a kernel does not read those of a wing that no sample goes through.
    fn bound(&self) -> [BufferArg; 2] {
        let any = self.fixed.as_ref().or(self.batch.as_ref()).expect("there is at least one wing");
        [&self.fixed, &self.batch].map(|lines| argument(lines.as_ref().unwrap_or(any)))
    }
}

/// Gradients of gamma and beta of both wings, and what batch statistics take off an input's gradient.
pub(super) struct Sums {
    pub(super) fixed: Option<[CubeTensor; 2]>,
    pub(super) batch: Option<[CubeTensor; 2]>,
    pub(super) pulls: Option<CubeTensor>,
}

/// Launches kernels for the batches of one pass, all of the same sizes and precision.
pub(super) struct Launch<'a> {
    like: &'a Rows,
    /// Precision of gamma, beta and the statistics.
    parameters: DType,
    /// Rows of the fixed wing.
    first: usize,
    epsilon: f64,
    activation: Activation,
    /// Channels that a unit reads at a time.
    vector: VectorSize,
}

impl<'a> Launch<'a> {
    /// `batches` are all that the pass will read; the first `first` samples are the fixed wing's.
    pub(super) fn new(
        batches: &[&'a Rows],
        parameters: DType,
        first: usize,
        epsilon: f64,
        activation: Activation,
    ) -> Self {
        let like = batches[0];
        // What a pass writes has no gaps between its rows.
        let divides = |size: &VectorSize| {
            let steps = batches.iter().copied().map(Rows::step);
            steps.chain([like.channels()]).all(|length| length.is_multiple_of(*size))
        };
        // Vectors of single precision, in which everything is computed, are the widest.
        let sizes = like.tensor().client.io_optimized_vector_sizes(size_of::<f32>());
        let vector = sizes.filter(divides).max().unwrap_or(1);
        let first = like.count() / like.samples() * first;
        Self { like, parameters, first, epsilon, activation, vector }
    }

    pub(super) fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    fn client(&self) -> &Client {
        &self.like.tensor().client
    }

    fn empty(&self, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
        let CubeTensor { client, device, .. } = self.like.tensor();
        empty_device_contiguous_dtype(client.clone(), device.clone(), shape.into(), dtype)
    }

    fn per_channel(&self) -> CubeTensor {
        self.empty([self.like.channels()], self.parameters)
    }

    fn dtype(&self) -> ElemType {
        element(self.like.dtype())
    }

    /// Precisions of the batch and of the parameters.
    fn dtypes(&self) -> [ElemType; 2] {
        [self.dtype(), element(self.parameters)]
    }

    /// Vectors from one row to the next.
    fn step(&self, rows: &Rows) -> u32 {
        (rows.step() / self.vector) as u32
    }

    /// Vectors of channels.
    fn channels(&self) -> u32 {
        (self.like.channels() / self.vector) as u32
    }

    /// Rows of the fixed wing, and all.
    fn rows(&self) -> [u32; 2] {
        [self.first, self.like.count()].map(|rows| rows as u32)
    }

    fn has_relu(&self) -> bool {
        self.activation == Activation::Relu
    }

    fn units(&self) -> Units {
        let along = self.channels().next_power_of_two().min(MOST_ALONG);
        Units { along, across: UNITS / along }
    }

    fn dim(&self) -> CubeDim {
        let Units { along, across } = self.units();
        CubeDim::new_2d(along, across)
    }

    /// So many cubes across, for all channels.
    fn count(&self, across: usize) -> CubeCount {
        CubeCount::Static(self.channels().div_ceil(self.units().along), across as u32, 1)
    }

    /// Units that write: each has some rows, or more of them where there are too many.
    fn writing(&self) -> CubeCount {
        let rows = self.units().across as usize * WRITTEN_ROWS;
        self.count(self.like.count().div_ceil(rows).min(MOST_CUBES))
    }

    /// Rows that a cube adds up, where the wings have so many in all.
    fn chunk(&self, rows: usize) -> usize {
        let chunk = self.units().across as usize * SUMMED_ROWS;
        chunk.max(rows.div_ceil(MOST_CUBES - 1))
    }

    pub(super) fn fixed_lines(&self, wing: &Fixed) -> CubeTensor {
        let lines = self.empty(lines_shape(self.like.channels()), DType::F32);
        let [gamma, beta, mean, variance] =
            [&wing.gamma, &wing.beta, &wing.mean, &wing.variance].map(argument);
        kernels::fixed_lines::launch(
            self.client(),
            CubeCount::Static(self.channels().div_ceil(UNITS), 1, 1),
            CubeDim::new_1d(UNITS),
            self.vector,
            gamma,
            beta,
            mean,
            variance,
            argument(&lines),
            self.channels(),
            self.epsilon as f32,
            element(self.parameters),
        );
        lines
    }

    /// The batch wing's lines, with mean and biased variance.
    pub(super) fn batch_lines(
        &self,
        input: &Rows,
        gamma: &CubeTensor,
        beta: &CubeTensor,
    ) -> (CubeTensor, [CubeTensor; 2]) {
        let [first, rows] = self.rows();
        let count = self.like.count() - self.first;
        let chunk = self.chunk(count);
        let parts = count.div_ceil(chunk);
        let partial = self.empty([2, parts, self.like.channels()], DType::F32);
        kernels::moments::launch(
            self.client(),
            self.count(parts),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(&partial),
            self.step(input),
            self.channels(),
            first,
            rows,
            chunk as u32,
            self.units(),
            self.dtype(),
        );
        let statistics: [CubeTensor; 2] = array::from_fn(|_| self.per_channel());
        let lines = self.empty(lines_shape(self.like.channels()), DType::F32);
        let [mean, variance] = statistics.each_ref().map(argument);
        kernels::batch_lines::launch(
            self.client(),
            self.count(1),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(&partial),
            argument(gamma),
            argument(beta),
            mean,
            variance,
            argument(&lines),
            self.step(input),
            self.channels(),
            first,
            rows,
            chunk as u32,
            parts as u32,
            self.epsilon as f32,
            self.units(),
            self.dtypes(),
        );
        (lines, statistics)
    }

    pub(super) fn forward(&self, input: &Rows, residual: Option<&Rows>, lines: &Lines) -> Rows {
        let output = self.like.empty_like();
        let added = residual.unwrap_or(input);
        let [fixed, batch] = lines.bound();
        let [first, rows] = self.rows();
        kernels::forward::launch(
            self.client(),
            self.writing(),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(added.tensor()),
            fixed,
            batch,
            argument(output.tensor()),
            self.step(input),
            self.step(added),
            self.step(&output),
            self.channels(),
            first,
            rows,
            residual.is_some(),
            self.has_relu(),
            self.dtype(),
        );
        output
    }

    /// [`forward`](Self::forward) through the fixed wing alone.
    pub(super) fn fixed_forward(&self, input: &Rows, residual: Option<&Rows>, wing: &Fixed) -> Rows {
        let output = self.like.empty_like();
        let added = residual.unwrap_or(input);
        let [gamma, beta, mean, variance] =
            [&wing.gamma, &wing.beta, &wing.mean, &wing.variance].map(argument);
        let [_, rows] = self.rows();
        kernels::fixed_forward::launch(
            self.client(),
            self.writing(),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(added.tensor()),
            gamma,
            beta,
            mean,
            variance,
            argument(output.tensor()),
            self.step(input),
            self.step(added),
            self.step(&output),
            self.channels(),
            rows,
            self.epsilon as f32,
            residual.is_some(),
            self.has_relu(),
            self.dtypes(),
        );
        output
    }

    /// What ReLU lets through of the gradient, by the sign of its output.
    pub(super) fn relu_gradient(&self, gradient: &Rows, output: &Rows) -> Rows {
        let written = self.like.empty_like();
        let [_, rows] = self.rows();
        kernels::relu_gradient::launch(
            self.client(),
            self.writing(),
            self.dim(),
            self.vector,
            argument(gradient.tensor()),
            argument(output.tensor()),
            argument(written.tensor()),
            self.step(gradient),
            self.step(output),
            self.step(&written),
            self.channels(),
            rows,
            self.dtype(),
        );
        written
    }

    /// Sums over the rows of the wings that have lines.
    pub(super) fn sums(&self, input: &Rows, gradient: &Rows, lines: &Lines) -> Sums {
        let [first, rows] = self.rows();
        let counts = [
            if lines.fixed.is_some() { self.first } else { 0 },
            if lines.batch.is_some() { self.like.count() - self.first } else { 0 },
        ];
        let chunk = self.chunk(counts[0] + counts[1]);
        let [fixed_parts, batch_parts] = counts.map(|count| count.div_ceil(chunk));
        let parts = fixed_parts + batch_parts;
        let partial = self.empty([2, parts, self.like.channels()], DType::F32);
        let [fixed, batch] = lines.bound();
        kernels::gradient_sums::launch(
            self.client(),
            self.count(parts),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(gradient.tensor()),
            fixed,
            batch,
            argument(&partial),
            self.step(input),
            self.step(gradient),
            self.channels(),
            first,
            rows,
            chunk as u32,
            fixed_parts as u32,
            self.has_relu(),
            self.units(),
            self.dtype(),
        );
        let merged = |lines: &CubeTensor, [from, to]: [usize; 2], count: usize| {
            let affine: [CubeTensor; 2] = array::from_fn(|_| self.per_channel());
            let pulls = self.empty([2, self.like.channels()], DType::F32);
            let [gamma, beta] = affine.each_ref().map(argument);
            kernels::affine_gradients::launch(
                self.client(),
                self.count(1),
                self.dim(),
                self.vector,
                argument(&partial),
                argument(lines),
                gamma,
                beta,
                argument(&pulls),
                self.channels(),
                parts as u32,
                from as u32,
                to as u32,
                count as f32,
                self.units(),
                element(self.parameters),
            );
            (affine, pulls)
        };
        let fixed = lines.fixed.as_ref().map(|lines| merged(lines, [0, fixed_parts], counts[0]).0);
        let batch = lines.batch.as_ref().map(|lines| merged(lines, [fixed_parts, parts], counts[1]));
        let (batch, pulls) = batch.unzip();
        Sums { fixed, batch, pulls }
    }

    pub(super) fn backward(
        &self,
        input: &Rows,
        gradient: &Rows,
        lines: &Lines,
        pulls: Option<&CubeTensor>,
    ) -> Rows {
        let written = self.like.empty_like();
        let [fixed, batch] = lines.bound();
        // Not read without a batch wing.
        let [_, any] = lines.bound();
        let [first, rows] = self.rows();
        kernels::backward::launch(
            self.client(),
            self.writing(),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(gradient.tensor()),
            fixed,
            batch,
            pulls.map_or(any, argument),
            argument(written.tensor()),
            self.step(input),
            self.step(gradient),
            self.step(&written),
            self.channels(),
            first,
            rows,
            self.has_relu(),
            self.dtype(),
        );
        written
    }

    /// [`backward`](Self::backward) through the fixed wing alone; `output` is where ReLU's gradient is read off.
    pub(super) fn fixed_backward(&self, gradient: &Rows, output: Option<&Rows>, wing: &Fixed) -> Rows {
        let written = self.like.empty_like();
        let read = output.unwrap_or(gradient);
        let [_, rows] = self.rows();
        kernels::fixed_backward::launch(
            self.client(),
            self.writing(),
            self.dim(),
            self.vector,
            argument(gradient.tensor()),
            argument(read.tensor()),
            argument(&wing.gamma),
            argument(&wing.variance),
            argument(written.tensor()),
            self.step(gradient),
            self.step(read),
            self.step(&written),
            self.channels(),
            rows,
            self.epsilon as f32,
            output.is_some(),
            self.dtypes(),
        );
        written
    }
}

fn argument(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}

/// What CubeCL calls a precision that the kernels take.
fn element(dtype: DType) -> ElemType {
    ElemType::Float(match dtype {
        DType::F16 => FloatKind::F16,
        DType::BF16 => FloatKind::BF16,
        _ => FloatKind::F32,
    })
}

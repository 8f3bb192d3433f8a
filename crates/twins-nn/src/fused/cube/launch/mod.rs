//! Launches the kernels: the sizes and counts of a launch here, the launches of each pass in a file of its own.

mod backward;
mod forward;

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::{ElemType, FloatKind, VectorSize};
use cubecl::prelude::*;

use super::kernels::Units;
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
pub(in crate::fused::cube) fn lines_shape(channels: usize) -> Shape {
    Shape::new([LINE, channels])
}

/// The fixed wing's parameters, contiguous.
pub(in crate::fused::cube) struct Fixed {
    pub(in crate::fused::cube) gamma: CubeTensor,
    pub(in crate::fused::cube) beta: CubeTensor,
    pub(in crate::fused::cube) mean: CubeTensor,
    pub(in crate::fused::cube) variance: CubeTensor,
}

/// The lines of the wings that there are; at least one.
pub(in crate::fused::cube) struct Lines {
    pub(in crate::fused::cube) fixed: Option<CubeTensor>,
    pub(in crate::fused::cube) batch: Option<CubeTensor>,
}

impl Lines {
    /// What to bind for both: a kernel does not read those of a wing that no sample goes through.
    fn bound(&self) -> [BufferArg; 2] {
        let any = self.fixed.as_ref().or(self.batch.as_ref()).expect("there is at least one wing");
        [&self.fixed, &self.batch].map(|lines| argument(lines.as_ref().unwrap_or(any)))
    }
}

/// Launches kernels for the batches of one pass, all of the same sizes and precision.
pub(in crate::fused::cube) struct Launch<'a> {
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
    pub(in crate::fused::cube) fn new(
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

    pub(in crate::fused::cube) fn with_activation(self, activation: Activation) -> Self {
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

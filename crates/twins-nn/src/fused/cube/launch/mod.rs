//! Launches of the kernels. This file has the sizes of the launches; each pass has its own file.

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

/// Units in a cube. Every device allows this many.
const UNITS: u32 = 256;

/// Maximum number of units in a cube along the channels: enough to read whole cache lines together.
const MOST_ALONG: u32 = 32;

/// Rows that a unit sums. They are read twice, so the rows of a cube should fit a core's first-level cache.
const SUMMED_ROWS: usize = 16;

/// Rows that a unit writes: enough to pay for reading the parameters of its channels.
const WRITTEN_ROWS: usize = 4;

/// Maximum number of cubes in a dimension of a launch, on every device.
const MOST_CUBES: usize = 65_535;

/// Numbers in a line.
const LINE: usize = 5;

/// Maximum factor by which a short row is padded in memory.
const MOST_SPREAD: usize = 8;

/// Whether the kernels can be launched for an input of these sizes, which may not be empty. Values are counted in 32 bits; the number
/// of rows is not limited.
pub(in crate::fused) fn fits(geometry: &Geometry) -> bool {
    let Geometry { samples, channels, space } = *geometry;
    let values = samples * channels * space;
    values > 0 && u32::try_from(values * MOST_SPREAD).is_ok() && channels / UNITS as usize <= MOST_CUBES
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

/// The lines of the wings that are used, at least one.
pub(in crate::fused::cube) struct Lines {
    pub(in crate::fused::cube) fixed: Option<CubeTensor>,
    pub(in crate::fused::cube) batch: Option<CubeTensor>,
}

impl Lines {
    /// The buffers to bind for both wings. A kernel does not read the lines of a wing that no sample goes through.
    fn bound(&self) -> [BufferArg; 2] {
        let any = self.fixed.as_ref().or(self.batch.as_ref()).expect("there is at least one wing");
        [&self.fixed, &self.batch].map(|lines| argument(lines.as_ref().unwrap_or(any)))
    }
}

/// Launches kernels for the batches of one pass, which all have the same sizes and precision.
pub(in crate::fused::cube) struct Launch<'a> {
    like: &'a Rows,
    /// Precision of gamma, beta and the statistics.
    parameters: DType,
    /// Number of rows of the fixed wing.
    first: usize,
    epsilon: f64,
    activation: Activation,
    /// Number of channels that a unit reads at a time.
    vector: VectorSize,
}

impl<'a> Launch<'a> {
    /// `batches` are all tensors that the pass reads. The first `first` samples belong to the fixed wing.
    pub(in crate::fused::cube) fn new(
        batches: &[&'a Rows],
        parameters: DType,
        first: usize,
        epsilon: f64,
        activation: Activation,
    ) -> Self {
        let like = batches[0];
        // The output of a pass has no gaps between its rows, so its step is the number of channels.
        let divides = |size: &VectorSize| {
            let steps = batches.iter().copied().map(Rows::step);
            steps.chain([like.channels()]).all(|length| length.is_multiple_of(*size))
        };
        // The computation is in single precision, whose vectors take the most space.
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

    /// Distance from one row to the next, in vectors.
    fn step(&self, rows: &Rows) -> u32 {
        (rows.step() / self.vector) as u32
    }

    /// Number of channels, in vectors.
    fn channels(&self) -> u32 {
        (self.like.channels() / self.vector) as u32
    }

    /// The number of rows of the fixed wing, and of all rows.
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

    /// The cube count for all channels, with `across` cubes along the rows.
    fn count(&self, across: usize) -> CubeCount {
        CubeCount::Static(self.channels().div_ceil(self.units().along), across as u32, 1)
    }

    /// The cube count of a kernel that writes. Each unit writes a few rows, or more if there would be too many cubes
    /// otherwise.
    fn writing(&self) -> CubeCount {
        let rows = self.units().across as usize * WRITTEN_ROWS;
        self.count(self.like.count().div_ceil(rows).min(MOST_CUBES))
    }

    /// The number of rows that a cube sums, if the wings have `rows` rows in total.
    fn chunk(&self, rows: usize) -> usize {
        let chunk = self.units().across as usize * SUMMED_ROWS;
        chunk.max(rows.div_ceil(MOST_CUBES - 1))
    }
}

fn argument(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}

/// The CubeCL type of a precision that the kernels support.
fn element(dtype: DType) -> ElemType {
    ElemType::Float(match dtype {
        DType::F16 => FloatKind::F16,
        DType::BF16 => FloatKind::BF16,
        _ => FloatKind::F32,
    })
}

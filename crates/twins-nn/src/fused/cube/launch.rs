use burn::tensor::{DType, Shape};
use burn_cubecl::Cube;
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::kernels::{self, Tiling};
use super::{Saved, contiguous};
use crate::fused::backend::{BatchWing, FixedWing};
use crate::fused::geometry::Geometry;
use crate::wings::Activation;

/// Units of a cube, within what every device allows.
const UNITS: u32 = 256;

/// Values of a channel that a cube reduces: they fit a core's first-level cache, since they are read twice.
const TILE: usize = 4096;

/// Values of a plane that a unit writes: enough for what it looks up for the plane to be worth it.
const VALUES: u32 = 8;

/// Cubes that a dimension of a launch may have on every device.
const MOST_CUBES: usize = 65_535;

/// Numbers that a line has.
const LINE: usize = 5;

/// Whether the kernels can be launched for an input of these sizes: values are counted in 32 bits, and there is a row of
/// cubes for each channel. Planes and samples may be any number.
pub(in crate::fused) fn fits(geometry: &Geometry) -> bool {
    let Geometry { samples, channels, space } = *geometry;
    u32::try_from(samples * channels * space).is_ok()
        && channels <= MOST_CUBES
        && space.div_ceil((UNITS * VALUES) as usize) <= MOST_CUBES
}

pub(super) struct AffineGradients {
    /// Of gamma and beta.
    pub(super) affine: [CubeTensor; 2],
    pub(super) pulls: CubeTensor,
}

/// Launches kernels for one input.
pub(super) struct Launch<'a> {
    /// A tensor of the device in question.
    pub(super) like: &'a CubeTensor,
    pub(super) geometry: Geometry,
    pub(super) first: usize,
}

impl Launch<'_> {
    fn empty(&self, shape: impl Into<Shape>) -> CubeTensor {
        let CubeTensor { client, device, .. } = self.like;
        empty_device_contiguous_dtype(client.clone(), device.clone(), shape.into(), DType::F32)
    }

    fn channels(&self) -> u32 {
        self.geometry.channels as u32
    }

    fn space(&self) -> u32 {
        self.geometry.space as u32
    }

    /// One unit per channel.
    fn per_channel(&self) -> (CubeCount, CubeDim) {
        (CubeCount::Static(self.channels().div_ceil(UNITS), 1, 1), CubeDim::new_1d(UNITS))
    }

    /// Units along a plane and across planes: all of them busy, whatever the size of a plane.
    fn units(&self) -> [u32; 2] {
        let along = (self.space() / VALUES).next_power_of_two().clamp(32, UNITS);
        let along = along.min(self.space().next_power_of_two());
        [along, UNITS / along]
    }

    /// Units that write: each has some values of a plane, or of several where there are too many planes.
    fn per_value(&self) -> (CubeCount, CubeDim) {
        let [along, across] = self.units();
        let planes = self.geometry.samples * self.geometry.channels;
        let cubes = planes.div_ceil(across as usize).min(MOST_CUBES) as u32;
        (CubeCount::Static(self.space().div_ceil(along * VALUES), cubes, 1), CubeDim::new_2d(along, across))
    }

    /// How so many samples of a channel are reduced, and the number of parts that they leave.
    fn reduction(&self, samples: usize) -> (CubeCount, CubeDim, Tiling, usize) {
        let space = self.geometry.space;
        let segments = space.div_ceil(TILE).min(MOST_CUBES);
        let least = samples.div_ceil(MOST_CUBES);
        let planes = (TILE / space).clamp(1, samples).max(least);
        let chunks = samples.div_ceil(planes);
        let units = self.units();
        let tiling = Tiling { planes: planes as u32, segment: space.div_ceil(segments) as u32, units };
        let count = CubeCount::Static(chunks as u32, self.channels(), segments as u32);
        (count, CubeDim::new_2d(units[0], units[1]), tiling, chunks * segments)
    }

    pub(super) fn fixed_lines(&self, wing: FixedWing<Cube>, epsilon: f64) -> CubeTensor {
        let lines = self.empty([LINE, self.geometry.channels]);
        let (count, dim) = self.per_channel();
        let [gamma, beta, mean, variance] =
            [wing.gamma, wing.beta, wing.mean, wing.variance].map(|t| contiguous(t).into_buffer_arg());
        let client = &self.like.client;
        let written = lines.clone().into_buffer_arg();
        kernels::fixed_lines::launch(
            client,
            count,
            dim,
            gamma,
            beta,
            mean,
            variance,
            written,
            self.channels(),
            epsilon as f32,
        );
        lines
    }

    /// The batch wing's lines, with mean and biased variance.
    pub(super) fn batch_lines(
        &self,
        input: &CubeTensor,
        wing: BatchWing<Cube>,
        epsilon: f64,
    ) -> (CubeTensor, [CubeTensor; 2]) {
        let client = &self.like.client;
        let (first, samples) = (self.first as u32, self.geometry.samples as u32);
        let (count, dim, tiling, parts) = self.reduction(self.geometry.samples - self.first);
        let channels = self.geometry.channels;
        let partial: [CubeTensor; 3] = std::array::from_fn(|_| self.empty([parts, channels]));
        let [counts, means, squares] = partial.clone().map(CubeTensor::into_buffer_arg);
        kernels::moments::launch(
            client,
            count,
            dim,
            input.clone().into_buffer_arg(),
            counts,
            means,
            squares,
            self.channels(),
            self.space(),
            first,
            samples,
            tiling,
        );
        let [mean, variance]: [CubeTensor; 2] = std::array::from_fn(|_| self.empty([channels]));
        let lines = self.empty([LINE, channels]);
        let (count, dim) = self.per_channel();
        let [counts, means, squares] = partial.map(CubeTensor::into_buffer_arg);
        let [gamma, beta] = [wing.gamma, wing.beta].map(|t| contiguous(t).into_buffer_arg());
        let [mean_out, variance_out, written] =
            [&mean, &variance, &lines].map(|t| t.clone().into_buffer_arg());
        kernels::batch_lines::launch(
            client,
            count,
            dim,
            input.clone().into_buffer_arg(),
            counts,
            means,
            squares,
            gamma,
            beta,
            mean_out,
            variance_out,
            written,
            self.channels(),
            self.space(),
            first,
            parts as u32,
            epsilon as f32,
        );
        (lines, [mean, variance])
    }

    pub(super) fn forward(
        &self,
        input: &CubeTensor,
        fixed: Option<&CubeTensor>,
        batch: Option<&CubeTensor>,
        activation: Activation,
    ) -> CubeTensor {
        let output = self.empty(input.meta.shape().clone());
        let (count, dim) = self.per_value();
        let [fixed, batch] = present(fixed, batch).map(|t| t.clone().into_buffer_arg());
        kernels::forward::launch(
            &self.like.client,
            count,
            dim,
            input.clone().into_buffer_arg(),
            fixed,
            batch,
            output.clone().into_buffer_arg(),
            self.channels(),
            self.space(),
            self.first as u32,
            self.geometry.samples as u32,
            activation == Activation::Relu,
        );
        output
    }

    /// Gradients of one wing's gamma and beta, from its samples.
    pub(super) fn affine_gradients(
        &self,
        input: &CubeTensor,
        gradient: &CubeTensor,
        lines: &CubeTensor,
        samples: std::ops::Range<usize>,
        activation: Activation,
    ) -> AffineGradients {
        let client = &self.like.client;
        let channels = self.geometry.channels;
        let (count, dim, tiling, parts) = self.reduction(samples.len());
        let partial: [CubeTensor; 2] = std::array::from_fn(|_| self.empty([parts, channels]));
        let [plain, distant] = partial.clone().map(CubeTensor::into_buffer_arg);
        let [x, g, line] = [input, gradient, lines].map(|t| t.clone().into_buffer_arg());
        kernels::gradient_sums::launch(
            client,
            count,
            dim,
            x,
            g,
            line,
            plain,
            distant,
            self.channels(),
            self.space(),
            samples.start as u32,
            samples.end as u32,
            activation == Activation::Relu,
            tiling,
        );
        let affine: [CubeTensor; 2] = std::array::from_fn(|_| self.empty([channels]));
        let pulls = self.empty([2, channels]);
        let (count, dim) = self.per_channel();
        let [plain, distant] = partial.map(CubeTensor::into_buffer_arg);
        let [gamma, beta] = affine.clone().map(CubeTensor::into_buffer_arg);
        let values = (samples.len() * self.geometry.space) as f32;
        kernels::affine_gradients::launch(
            client,
            count,
            dim,
            plain,
            distant,
            lines.clone().into_buffer_arg(),
            gamma,
            beta,
            pulls.clone().into_buffer_arg(),
            self.channels(),
            parts as u32,
            values,
        );
        AffineGradients { affine, pulls }
    }

    pub(super) fn backward(
        &self,
        input: &CubeTensor,
        gradient: &CubeTensor,
        saved: &Saved,
        pulls: Option<&CubeTensor>,
    ) -> CubeTensor {
        let output = self.empty(saved.shape.clone());
        let (count, dim) = self.per_value();
        let [fixed, batch] = present(saved.fixed.as_ref(), saved.batch.as_ref());
        let [x, g, fixed, batch, pulls] =
            [input, gradient, fixed, batch, pulls.unwrap_or(fixed)].map(|t| t.clone().into_buffer_arg());
        kernels::backward::launch(
            &self.like.client,
            count,
            dim,
            x,
            g,
            fixed,
            batch,
            pulls,
            output.clone().into_buffer_arg(),
            self.channels(),
            self.space(),
            self.first as u32,
            self.geometry.samples as u32,
            saved.activation == Activation::Relu,
        );
        output
    }
}

/// Lines to bind for both wings: a kernel does not read those of a wing that no sample goes through.
fn present<'a>(fixed: Option<&'a CubeTensor>, batch: Option<&'a CubeTensor>) -> [&'a CubeTensor; 2] {
    let any = fixed.or(batch).expect("there is at least one wing");
    [fixed.unwrap_or(any), batch.unwrap_or(any)]
}

//! The gradient of the weights. For every weight, it sums the products of its inputs and the output's gradients over all positions.

use std::array;

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::forward::input_planes;
use super::geometry::Geometry;
use super::planes::{Pixel, Planes};
use super::simd::{CHANNELS, Values, lanes, load, splat, store};
use crate::format::Format;

/// Computes the gradient of the weights, `[outputs, channels, kernel height, kernel width]`.
pub(crate) fn weight_gradient(
    geometry: &Geometry,
    (images, image_format): (&[f32], Format),
    (gradients, gradient_format): (&[f32], Format),
) -> Vec<f32> {
    let plan = Plan::new(geometry);
    let image = plan.inputs.values();
    let gradient = plan.outputs.values();
    let samples = images.len() / image;
    if samples == 0 {
        return plan.ordered(&vec![0.0; plan.len()]);
    }
    let per_job = samples.div_ceil(plan.groups(samples));
    let parts: Vec<Vec<f32>> = images
        .par_chunks(per_job * image)
        .zip(gradients.par_chunks(per_job * gradient))
        .map(|(images, gradients)| plan.sums((images, image_format), (gradients, gradient_format)))
        .collect();
    plan.ordered(&added(parts))
}

/// Adds up the sums in a fixed order, so that the rounding does not depend on the number of threads.
fn added(mut parts: Vec<Vec<f32>>) -> Vec<f32> {
    const PIECE: usize = 16 * 1024;
    let mut sums = std::mem::take(&mut parts[0]);
    sums.par_chunks_mut(PIECE).enumerate().for_each(|(piece, sums)| {
        for part in &parts[1..] {
            let part = &part[piece * PIECE..][..sums.len()];
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    });
    sums
}

/// Computes the gradient of the bias: the sum of the gradients, channels last, over all pixels.
pub(crate) fn bias_gradient(gradients: &[f32], channels: usize) -> Vec<f32> {
    /// Number of pixels that are summed in single precision.
    const PIECE: usize = 1024;
    let parts: Vec<Vec<f32>> = gradients
        .par_chunks(PIECE * channels)
        .map(|pixels| {
            let mut sums = vec![0f32; channels];
            for pixel in pixels.chunks_exact(channels) {
                sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
            }
            sums
        })
        .collect();
    let of_channel = |channel: usize| parts.iter().map(|part| f64::from(part[channel])).sum::<f64>() as f32;
    (0..channels).map(of_channel).collect()
}

/// The division of the work.
struct Plan<'a> {
    geometry: &'a Geometry,
    size: [usize; 2],
    inputs: Planes,
    outputs: Planes,
    lanes: usize,
    /// Number of vectors of output channels, of input channels and of kernel columns that are summed together.
    vectors: usize,
    channels: usize,
    columns: usize,
}

impl<'a> Plan<'a> {
    fn new(geometry: &'a Geometry) -> Self {
        let size = geometry.output_size();
        let lanes = lanes();
        let inputs = input_planes(geometry);
        // Three neighbouring weights of a row share the values that they read if these are neighbours in the input too.
        let shared = geometry.kernel[1] == SHARED && geometry.stride == [1, 1];
        let (columns, before) = if shared { (SHARED, SHARED - 1) } else { (1, 0) };
        let vectors = if shared || geometry.outputs <= lanes { 1 } else { 2 };
        let channels = match geometry.channels {
            0..=4 => 4,
            _ if lanes < CHANNELS => 4,
            _ => 8,
        };
        let outputs = Planes {
            channels: geometry.outputs,
            height: size[0],
            width: size[1],
            before: [0, before],
            rows: size[0],
            columns: if shared { inputs.columns } else { size[1] },
        };
        Self { geometry, size, inputs, outputs, lanes, vectors, channels, columns }
    }

    /// Number of parts of the batch that are summed independently, so that threads rarely wait: as many as have sums of a small total
    /// size.
    ///
    /// It depends only on sizes, and so does the result.
    fn groups(&self, samples: usize) -> usize {
        const MOST: usize = 16;
        const BYTES: usize = 8 * 1024 * 1024;
        (BYTES / (self.len() * size_of::<f32>())).clamp(1, MOST).min(samples)
    }

    /// Number of images that are summed at a time: as many as fit a core's cache. It is larger if there are so many sums that reading and
    /// writing them every few images would take longer.
    fn together(&self) -> usize {
        const CACHE: usize = 512 * 1024;
        let bytes = if self.len() * size_of::<f32>() > CACHE { 4 * CACHE } else { CACHE };
        (bytes / ((self.inputs.len() + self.outputs.len()) * size_of::<Pixel>())).max(1)
    }

    /// Number of groups of output vectors, parts of the input channels, kernel rows and groups of kernel columns.
    fn jobs(&self) -> [usize; 4] {
        [
            self.geometry.outputs.div_ceil(self.lanes * self.vectors),
            self.geometry.channels.div_ceil(self.channels),
            self.geometry.kernel[0],
            self.geometry.kernel[1] / self.columns,
        ]
    }

    /// Number of sums of one job, `[columns][channels][vectors][lanes]`.
    fn job(&self) -> usize {
        self.columns * self.channels * self.vectors * self.lanes
    }

    fn len(&self) -> usize {
        self.jobs().iter().product::<usize>() * self.job()
    }

    /// Computes the sums over some images, `[job][columns][channels][vectors][lanes]`.
    fn sums(
        &self,
        (images, images_in): (&[f32], Format),
        (gradients, gradients_in): (&[f32], Format),
    ) -> Vec<f32> {
        let together = self.together();
        let mut sums = vec![0.0; self.len()];
        let [mut inputs, mut outputs] = [Vec::new(), Vec::new()];
        let images = images.chunks(together * self.inputs.values());
        for (images, gradients) in images.zip(gradients.chunks(together * self.outputs.values())) {
            fill(&self.inputs, images, images_in, &mut inputs);
            fill(&self.outputs, gradients, gradients_in, &mut outputs);
            let count = images.len() / self.inputs.values();
            sums.par_chunks_mut(self.job()).enumerate().for_each(|(number, sums)| {
                let (inputs, outputs) = (&inputs, &outputs);
                AutoArch::new().dispatch(Job { plan: self, number, count, inputs, outputs, sums });
            });
        }
        sums
    }

    /// Returns the sums in the order of the weights.
    fn ordered(&self, sums: &[f32]) -> Vec<f32> {
        let Geometry { channels, outputs, kernel: [height, width], .. } = *self.geometry;
        let [_, parts, ..] = self.jobs();
        let mut weights = Vec::with_capacity(outputs * channels * height * width);
        for output in 0..outputs {
            let together = self.vectors * self.lanes;
            let (group, lane) = (output / together, output % together);
            for channel in 0..channels {
                let (part, inner) = (channel / self.channels, channel % self.channels);
                for y in 0..height {
                    for x in 0..width {
                        let job =
                            ((group * parts + part) * height + y) * (width / self.columns) + x / self.columns;
                        let at = (x % self.columns * self.channels + inner) * together + lane;
                        weights.push(sums[job * self.job() + at]);
                    }
                }
            }
        }
        weights
    }
}

/// Fills the planes of some images, in reused memory.
fn fill(planes: &Planes, images: &[f32], format: Format, filled: &mut Vec<Pixel>) {
    let count = images.len() / planes.values();
    // This includes values that are read beyond the last pixel, where the other factor is zero.
    let length = count * planes.len() + 2 * SHARED;
    if filled.len() < length {
        filled.resize(length, Pixel::default());
    }
    let images = images.par_chunks(planes.values());
    filled
        .par_chunks_mut(planes.len())
        .zip(images)
        .for_each(|(filled, image)| planes.fill(image, format, filled));
}

/// Number of kernel columns that share the values that they read.
const SHARED: usize = 3;

struct Job<'a> {
    plan: &'a Plan<'a>,
    number: usize,
    /// Number of images.
    count: usize,
    inputs: &'a [Pixel],
    outputs: &'a [Pixel],
    sums: &'a mut [f32],
}

impl WithSimd for Job<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        match (self.plan.columns, self.plan.vectors, self.plan.channels) {
            (SHARED, _, 4) => self.shared::<S, 4>(),
            (SHARED, _, _) => self.shared::<S, 8>(),
            (_, 1, 4) => self.single::<S, 1, 4>(),
            (_, 1, _) => self.single::<S, 1, 8>(),
            (_, _, 4) => self.single::<S, 2, 4>(),
            (_, _, _) => self.single::<S, 2, 8>(),
        }
    }
}

impl Job<'_> {
    /// The group of vectors, the part of the channels, and the row and column of the kernel.
    fn place(&self) -> [usize; 4] {
        let [_, parts, rows, columns] = self.plan.jobs();
        let number = self.number;
        [
            number / columns / rows / parts,
            number / columns / rows % parts,
            number / columns % rows,
            number % columns,
        ]
    }

    /// For each image, the inputs from this job's block of channels on, and the outputs.
    fn images(&self, part: usize) -> impl Iterator<Item = (&[Pixel], &[Pixel])> {
        let Plan { inputs, outputs, channels, .. } = self.plan;
        let block = part * channels / CHANNELS * inputs.rows * inputs.columns;
        (0..self.count).map(move |image| {
            (&self.inputs[image * inputs.len() + block..], &self.outputs[image * outputs.len()..])
        })
    }

    /// Sums for three neighbouring weights of a row.
    #[inline(always)]
    fn shared<S: Simd, const PART: usize>(self) {
        let [vector, part, row, _] = self.place();
        let Plan { inputs, outputs, size, .. } = self.plan;
        let (block, lane) = (vector * S::lanes32() / CHANNELS, vector * S::lanes32() % CHANNELS);
        let part_of_pixel = part % (CHANNELS / PART);
        let length = (size[0] - 1) * outputs.columns + size[1] + SHARED - 1;
        let mut sums: [[Values<S>; PART]; SHARED] = array::from_fn(|column| {
            array::from_fn(|channel| load::<S>(&self.sums[(column * PART + channel) * S::lanes32()..]))
        });
        for (input, output) in self.images(part) {
            let input = &input[row * inputs.columns..][..length];
            let output = &output[block * outputs.rows * outputs.columns..][..length + SHARED - 1];
            for (at, pixel) in input.iter().enumerate() {
                let gradients: [Values<S>; SHARED] =
                    array::from_fn(|column| load::<S>(&output[at + SHARED - 1 - column][lane..]));
                let (values, _) = pixel.as_chunks::<PART>();
                let values = &values[part_of_pixel];
                for channel in 0..PART {
                    let value = splat::<S>(values[channel]);
                    for column in 0..SHARED {
                        sums[column][channel] = gradients[column].mul_add(value, sums[column][channel]);
                    }
                }
            }
        }
        for (to, sum) in self.sums.chunks_exact_mut(S::lanes32()).zip(sums.as_flattened()) {
            store::<S>(*sum, to);
        }
    }

    /// Sums for one weight of the kernel.
    #[inline(always)]
    fn single<S: Simd, const VECTORS: usize, const PART: usize>(self) {
        let [group, part, row, column] = self.place();
        let Plan { geometry, inputs, outputs, size, .. } = self.plan;
        let plane = outputs.rows * outputs.columns;
        // The positions of the vectors: the block, and the position within its pixels. The last group may have more vectors than there
        // are.
        let places: [[usize; 2]; VECTORS] = array::from_fn(|vector| {
            let channel = (group * VECTORS + vector) * S::lanes32();
            let channel = channel.min((outputs.blocks() - 1) * CHANNELS + CHANNELS - S::lanes32());
            [channel / CHANNELS * plane, channel % CHANNELS]
        });
        let part_of_pixel = part % (CHANNELS / PART);
        let stride = geometry.stride;
        let mut sums: [[Values<S>; VECTORS]; PART] = array::from_fn(|channel| {
            array::from_fn(|vector| load::<S>(&self.sums[(channel * VECTORS + vector) * S::lanes32()..]))
        });
        for (input, output) in self.images(part) {
            for y in 0..size[0] {
                let input = &input[(y * stride[0] + row) * inputs.columns + column..];
                let outputs =
                    places.map(|[block, lane]| (&output[block + y * outputs.columns..][..size[1]], lane));
                for x in 0..size[1] {
                    let gradients = outputs.map(|(output, lane)| load::<S>(&output[x][lane..]));
                    let (values, _) = input[x * stride[1]].as_chunks::<PART>();
                    let values = &values[part_of_pixel];
                    for channel in 0..PART {
                        let value = splat::<S>(values[channel]);
                        for vector in 0..VECTORS {
                            sums[channel][vector] = gradients[vector].mul_add(value, sums[channel][vector]);
                        }
                    }
                }
            }
        }
        for (to, sum) in self.sums.chunks_exact_mut(S::lanes32()).zip(sums.as_flattened()) {
            store::<S>(*sum, to);
        }
    }
}

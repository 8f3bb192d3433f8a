//! Sums of products over all pairs of an input channel and an output channel, at one or several points. Gradients of weights have this
//! form.

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::planes::Pixel;
use super::product::{self, accumulate};
use super::simd::{CHANNELS, lanes};

/// Number of values between the planes of two points. Planes at a distance of a power of two would share the same few sets of a cache.
pub(crate) const PADDING: usize = 3 * CHANNELS;

/// Number of rows that are multiplied at once, so that their values stay in a core's first-level cache.
pub(crate) const ROWS: usize = 128;

/// Both factors for several rows, `[point][block of channels][row][channel]` with [`PADDING`] after each point.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) count: usize,
    pub(crate) inputs: Vec<f32>,
    pub(crate) gradients: Vec<f32>,
}

/// The sums, `[group of vectors][point][channel][vector][lane]` with [`PADDING`] after each point.
pub(crate) struct Sums {
    channels: usize,
    outputs: usize,
    points: usize,
    values: Vec<f32>,
    is_empty: bool,
}

impl Sums {
    /// The numbers of channels and outputs must be multiples of [`CHANNELS`].
    pub(crate) fn new([channels, outputs]: [usize; 2], points: usize) -> Self {
        let padding = PADDING * outputs.div_ceil(group());
        let values = vec![0.0; points * (channels * outputs + padding)];
        Self { channels, outputs, points, values, is_empty: true }
    }

    /// Number of rows of both factors that are computed before they are multiplied: as many as fit the cache that the cores share. It is
    /// larger if there are so many sums that reading and writing them would take longer.
    pub(crate) fn rows_at_once(&self) -> usize {
        const BYTES: usize = 16 * 1024 * 1024;
        let of_row = self.points * (self.channels + self.outputs) * size_of::<f32>();
        (BYTES.max(2 * size_of_val(&*self.values)) / of_row).max(1)
    }

    /// Adds some rows. Every sum runs from the first row to the last, so it does not depend on the number of threads.
    pub(crate) fn add(&mut self, rows: &[Rows]) {
        let Self { channels, outputs, points, is_empty, .. } = *self;
        // The work is split into jobs for the threads. A job multiplies all its channels with the gradients of some rows while these are
        // in the first-level cache.
        const JOBS: usize = 16;
        let parts = JOBS.div_ceil(points * outputs.div_ceil(group()));
        let blocks = (channels / CHANNELS).div_ceil(parts);
        let groups = self.values.par_chunks_mut(points * (channels * group() + PADDING)).enumerate();
        groups.for_each(|(number, sums)| {
            let first = number * group();
            let width = group().min(outputs - first);
            sums.par_chunks_mut(channels * width + PADDING).enumerate().for_each(|(point, sums)| {
                let parts = sums[..channels * width].par_chunks_mut(blocks * CHANNELS * width).enumerate();
                parts.for_each(|(part, sums)| {
                    if is_empty {
                        // The memory is written before it is read, so that the system does not map every page of new memory twice.
                        sums.fill(0.0);
                    }
                    let (sizes, block) = ([channels, outputs], part * blocks);
                    AutoArch::new().dispatch(Products { rows, sizes, point, block, first, width, sums });
                });
            });
        });
        self.is_empty = false;
    }

    /// Returns the weights, `values_of_output` values for each output. `write` gets the sums of a group of outputs, and the part of the
    /// weights to fill from them.
    pub(crate) fn weights(
        &self,
        values_of_output: usize,
        write: impl Fn(&[f32], &mut [f32]) + Sync + Send,
    ) -> Vec<f32> {
        let mut weights = vec![0.0; self.outputs * values_of_output];
        weights
            .par_chunks_mut(group() * values_of_output)
            .zip(self.values.par_chunks(self.points * (self.channels * group() + PADDING)))
            .for_each(|(weights, sums)| write(sums, weights));
        weights
    }
}

/// Number of outputs that are summed together.
fn group() -> usize {
    product::group(lanes())
}

/// Computes the sums of a point, for the channels from a block on and for a group of outputs.
struct Products<'a> {
    rows: &'a [Rows],
    /// Number of channels and of outputs.
    sizes: [usize; 2],
    point: usize,
    block: usize,
    /// The first output of the group, and the number of outputs in it.
    first: usize,
    width: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let [channels, outputs] = self.sizes;
        for rows in self.rows {
            let inputs = rows.plane(&rows.inputs, channels, self.point);
            let gradients = rows.plane(&rows.gradients, outputs, self.point);
            let gradients = &gradients[self.first / CHANNELS * rows.count..];
            let sums = self.sums.chunks_exact_mut(CHANNELS * self.width);
            for (inputs, sums) in inputs.chunks_exact(rows.count).skip(self.block).zip(sums) {
                accumulate::<S>(inputs, gradients, self.first % CHANNELS, sums, self.width);
            }
        }
    }
}

impl Rows {
    /// The values of one point.
    fn plane<'a>(&self, memory: &'a [f32], channels: usize, point: usize) -> &'a [Pixel] {
        let values = self.count * channels;
        memory[point * (values + PADDING)..][..values].as_chunks().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 2] = [48, 112];
    const POINTS: usize = 2;

    /// A factor of small whole numbers, whose sums are exact.
    fn factor(point: usize, row: usize, channel: usize) -> f32 {
        ((7 * point + 5 * row + 3 * channel) % 11) as f32 - 5.0
    }

    /// Writes rows over what is there; what stands beyond them must not be read.
    fn write(rows: &mut Rows, first: usize, count: usize) {
        rows.count = count;
        for (memory, channels) in [(&mut rows.inputs, SIZES[0]), (&mut rows.gradients, SIZES[1])] {
            let plane = count * channels + PADDING;
            memory.fill(f32::NAN);
            memory.resize(memory.len().max(POINTS * plane), f32::NAN);
            for point in 0..POINTS {
                for (channel, row) in
                    (0..channels).flat_map(|channel| (0..count).map(move |row| (channel, row)))
                {
                    let at = (channel / CHANNELS * count + row) * CHANNELS + channel % CHANNELS;
                    memory[point * plane + at] = factor(point, first + row, channel);
                }
            }
        }
    }

    #[test]
    fn rows_that_come_in_parts_are_all_summed() {
        let mut sums = Sums::new(SIZES, POINTS);
        let mut rows = [Rows::default(), Rows::default()];
        write(&mut rows[0], 0, 5);
        write(&mut rows[1], 5, 3);
        sums.add(&rows);
        write(&mut rows[0], 8, 2);
        sums.add(&rows[..1]);
        let [channels, outputs] = SIZES;
        let found = sums.weights(channels * POINTS, |sums, weights| {
            let plane = sums.len() / POINTS;
            let width = (plane - PADDING) / channels;
            for (at, weight) in weights.iter_mut().enumerate() {
                let [output, channel, point] = [at / POINTS / channels, at / POINTS % channels, at % POINTS];
                *weight = sums[point * plane + channel * width + output];
            }
        });
        assert_eq!(found.len(), outputs * channels * POINTS);
        for (at, found) in found.into_iter().enumerate() {
            let [output, channel, point] = [at / POINTS / channels, at / POINTS % channels, at % POINTS];
            let sum: f32 = (0..10).map(|row| factor(point, row, channel) * factor(point, row, output)).sum();
            assert_eq!(found, sum, "{output} {channel} {point}");
        }
    }
}

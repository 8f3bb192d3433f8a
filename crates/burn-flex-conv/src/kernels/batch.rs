//! Direct convolution of the images of a batch, on all cores.

use std::ops::Range;

use rayon::prelude::*;

use super::addend::Addend;
use super::correlation::{Correlation, Images, Placement};
use super::planes::{Pixel, Planes};
use crate::format::Format;

/// Computes the outputs of a convolution, or the gradient of its input, for a batch of images.
pub(crate) struct Outputs {
    pub(crate) planes: Planes,
    pub(crate) phases: Vec<Phase>,
    /// Rows, columns and channels.
    pub(crate) size: [usize; 3],
}

/// Every `step`-th row and column of the outputs, starting at `first`.
pub(crate) struct Phase {
    pub(crate) correlation: Correlation,
    pub(crate) first: [usize; 2],
    pub(crate) step: [usize; 2],
}

impl Outputs {
    /// Computes the outputs. The values do not depend on the number of threads.
    ///
    /// Each thread takes whole images, or rows of one image if there are fewer images than threads.
    pub(crate) fn run(&self, images: &[f32], format: Format, addend: Addend, outputs: &mut [f32]) {
        if !addend.is_outputs() && !self.covers() {
            outputs.fill(0.0);
        }
        let [rows, columns, channels] = self.size;
        let image = self.planes.values();
        let output = rows * columns * channels;
        let samples = images.len() / image;
        let threads = rayon::current_num_threads();
        let overrun = self.phases.iter().map(|phase| phase.correlation.overrun()).max().unwrap_or(0);
        let step = self.planes.len();
        let empty = |count: usize| vec![Pixel::default(); count * step + overrun];
        if samples >= threads {
            let per_job = samples.div_ceil(4 * threads);
            let together = self.together().min(per_job);
            outputs.par_chunks_mut(per_job * output).zip(images.par_chunks(per_job * image)).for_each_init(
                || empty(together),
                |planes, (outputs, images)| {
                    let parts = outputs.chunks_mut(together * output).zip(images.chunks(together * image));
                    for (output, images) in parts {
                        let count = images.len() / image;
                        for (planes, image) in planes.chunks_mut(step).zip(images.chunks_exact(image)) {
                            self.planes.fill(image, format, planes);
                        }
                        self.rows(Images { count, planes, step }, 0..rows, addend, output);
                    }
                },
            );
        } else {
            let mut planes = empty(1);
            let per_job = rows.div_ceil(4 * threads);
            for (output, image) in outputs.chunks_exact_mut(output).zip(images.chunks_exact(image)) {
                self.planes.fill(image, format, &mut planes);
                let images = Images { count: 1, planes: &planes, step };
                let parts = output.par_chunks_mut(per_job * columns * channels).enumerate();
                parts.for_each(|(number, output)| {
                    let first = number * per_job;
                    self.rows(images, first..rows.min(first + per_job), addend, output);
                });
            }
        }
    }

    /// Whether every output is written. If the stride is larger than the kernel, some values of an input's gradient are not
    /// written and remain zero.
    fn covers(&self) -> bool {
        let written = |phase: &Phase| phase.correlation.size.iter().product::<usize>();
        self.phases.iter().map(written).sum::<usize>() == self.size[0] * self.size[1]
    }

    /// Number of images per pass over the weights: several if the weights exceed a core's cache.
    fn together(&self) -> usize {
        const CACHE: usize = 512 * 1024;
        match self.bytes() > CACHE {
            true => (CACHE / (self.planes.len() * size_of::<Pixel>())).max(1),
            false => 1,
        }
    }

    /// Size of the packed weights, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.phases.iter().map(|phase| phase.correlation.bytes()).sum()
    }

    /// Writes some rows of the outputs of some images.
    fn rows(&self, images: Images, rows: Range<usize>, addend: Addend, output: &mut [f32]) {
        let [_, columns, channels] = self.size;
        for Phase { correlation, first, step } in &self.phases {
            let of = |row: usize| row.saturating_sub(first[0]).div_ceil(step[0]).min(correlation.size[0]);
            let own = of(rows.start)..of(rows.end);
            if own.is_empty() {
                continue;
            }
            let start = ((first[0] + own.start * step[0] - rows.start) * columns + first[1]) * channels;
            let steps = [output.len() / images.count, step[0] * columns * channels, step[1] * channels];
            correlation.run(images, own, addend, output, Placement { start, steps });
        }
    }
}

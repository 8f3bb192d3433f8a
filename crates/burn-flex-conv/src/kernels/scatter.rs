//! The gradient of an input with few channels, such as an image, which would fill only a small part of a vector.
//!
//! Each value of the output's gradient is multiplied with the weights, and the products are added to all inputs that the output was
//! computed from.

use std::cell::RefCell;

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::addend::Addend;
use super::few_channels::FEW;
use super::geometry::Geometry;
use super::matrix::Matrix;
use super::product::OutputRows;
use super::simd::lanes;

/// Computes the gradient of the input of a convolution.
pub(crate) struct Scatter {
    geometry: Geometry,
    /// `[output channel][row, column and channel of the kernel]`
    matrix: Matrix,
    /// Rows, columns and channels of the kernel, rounded up to whole vectors.
    taps: usize,
}

#[derive(Default)]
struct Memory {
    /// The values that a row of outputs adds, `[column][tap]`.
    additions: Vec<f32>,
    /// The gradient of a padded image, `[row][column][channel]`.
    image: Vec<f32>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Whether this module computes the gradient of the input of a convolution of these sizes.
pub(crate) fn takes(geometry: &Geometry) -> bool {
    geometry.channels <= FEW
}

impl Scatter {
    /// Prepares the gradient for a convolution with these weights, `[outputs, channels, kernel height, kernel width]`.
    pub(crate) fn input_gradient(geometry: &Geometry, weight: &[f32]) -> Self {
        let &Geometry { channels, outputs, kernel: [height, width], .. } = geometry;
        let count = height * width * channels;
        let size = geometry.output_size();
        let matrix = Matrix::new([outputs, size[0] * size[1]], [outputs, count], |output, tap| {
            let [at, channel] = [tap / channels, tap % channels];
            weight[(output * channels + channel) * height * width + at]
        });
        Self { geometry: *geometry, matrix, taps: count.next_multiple_of(lanes()) }
    }

    /// Number of channels and of pixels of the gradient of an output.
    pub(crate) fn image(&self) -> [usize; 2] {
        self.matrix.image()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.matrix.bytes()
    }

    /// Writes the gradients for some images, both with the channels last. The values do not depend on the number of threads or of
    /// images.
    pub(crate) fn run(&self, gradients: &[f32], addend: Addend, outputs: &mut [f32]) {
        let [channels, pixels] = self.image();
        let &Geometry { channels: own, input: [height, width], .. } = &self.geometry;
        let images = gradients.par_chunks_exact(channels * pixels);
        outputs.par_chunks_exact_mut(own * height * width).zip(images).for_each(|(output, gradient)| {
            MEMORY.with_borrow_mut(|memory| {
                AutoArch::new().dispatch(Call { scatter: self, gradient, memory });
                self.cut(&memory.image, addend, output);
            });
        });
    }

    /// Writes an image without its padding to the output, or adds it to the output.
    fn cut(&self, image: &[f32], addend: Addend, output: &mut [f32]) {
        let &Geometry { channels, input: [_, width], before: [top, left], .. } = &self.geometry;
        let [_, columns] = self.geometry.with_padding();
        let lines = image.chunks_exact(columns * channels).skip(top);
        for (to, from) in output.chunks_exact_mut(width * channels).zip(lines) {
            let from = &from[left * channels..][..width * channels];
            match addend {
                Addend::Outputs => to.iter_mut().zip(from).for_each(|(to, from)| *to += from),
                Addend::Nothing => to.copy_from_slice(from),
                Addend::Bias(_) => unreachable!("the gradient of an input has no bias"),
            }
        }
    }
}

struct Call<'a> {
    scatter: &'a Scatter,
    gradient: &'a [f32],
    memory: &'a mut Memory,
}

impl WithSimd for Call<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self { scatter, gradient, memory: Memory { additions, image } } = self;
        let Scatter { geometry, matrix, taps } = scatter;
        let &Geometry { channels, outputs, kernel, stride, .. } = geometry;
        let [_, across] = geometry.output_size();
        let [rows, columns] = geometry.with_padding();
        image.clear();
        image.resize(rows * columns * channels, 0.0);
        additions.resize(across * taps, 0.0);
        let step = stride[1] * channels;
        let width = kernel[1] * channels;
        for (y, gradient) in gradient.chunks_exact(across * outputs).enumerate() {
            let to = OutputRows { values: additions, step: *taps };
            matrix.multiply::<S>(gradient, Addend::Nothing, to);
            for row in 0..kernel[0] {
                let line = &mut image[(y * stride[0] + row) * columns * channels..][..columns * channels];
                for (x, additions) in additions.chunks_exact(*taps).enumerate() {
                    let to = &mut line[x * step..][..width];
                    to.iter_mut().zip(&additions[row * width..]).for_each(|(to, value)| *to += value);
                }
            }
        }
    }
}

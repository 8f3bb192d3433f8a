//! Products of many rows and one matrix.

use std::cell::RefCell;

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::addend::Addend;
use super::product::{OutputRows, group, product};
use super::simd::lanes;

/// A matrix of weights. It is multiplied with rows, which are the channels of a pixel or whole images.
pub(crate) struct Matrix {
    /// Number of channels and of pixels of an image.
    image: [usize; 2],
    depth: usize,
    outputs: usize,
    /// `[group of vectors][row of the matrix][vector][lane]`, filled with zeros beyond the outputs.
    weights: Vec<f32>,
}

/// Number of rows per pass over the weights: a multiple of the number of rows that are multiplied at once.
const TOGETHER: usize = 48;

thread_local! {
    /// Outputs, padded with zeros to whole vectors.
    static WIDE: RefCell<Vec<f32>> = RefCell::default();
}

impl Matrix {
    /// Builds the matrix `[depth, outputs]` of the values that `value` returns.
    pub(crate) fn new(
        image: [usize; 2],
        [depth, outputs]: [usize; 2],
        value: impl Fn(usize, usize) -> f32 + Sync,
    ) -> Self {
        let (group, padded) = (group(lanes()), outputs.next_multiple_of(lanes()));
        let mut weights = vec![0.0; depth * padded];
        weights.par_chunks_mut(depth * group).enumerate().for_each(|(number, weights)| {
            let (first, width) = (number * group, weights.len() / depth);
            for (row, weights) in weights.chunks_exact_mut(width).enumerate() {
                let own = first..outputs.min(first + width);
                weights.iter_mut().zip(own).for_each(|(to, output)| *to = value(row, output));
            }
        });
        Self { image, depth, outputs, weights }
    }

    pub(crate) fn image(&self) -> [usize; 2] {
        self.image
    }

    /// Size of the weights, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.weights)
    }

    /// Writes the outputs for some rows. The values do not depend on the number of threads or of rows.
    pub(crate) fn run(&self, rows: &[f32], addend: Addend, outputs: &mut [f32]) {
        let count = rows.len() / self.depth;
        let per_job = count.div_ceil(2 * rayon::current_num_threads()).clamp(1, TOGETHER);
        let parts = outputs.par_chunks_mut(per_job * self.outputs).zip(rows.par_chunks(per_job * self.depth));
        if self.outputs.is_multiple_of(lanes()) {
            parts.for_each(|(outputs, rows)| {
                let to = OutputRows { values: outputs, step: self.outputs };
                AutoArch::new().dispatch(Call { matrix: self, rows, addend, to });
            });
            return;
        }
        let padded = self.outputs.next_multiple_of(lanes());
        let bias = addend.bias().map(|bias| {
            let mut wide = bias.to_vec();
            wide.resize(padded, 0.0);
            wide
        });
        let start = bias.as_deref().map_or(Addend::Nothing, Addend::Bias);
        parts.for_each(|(outputs, rows)| {
            WIDE.with_borrow_mut(|wide| {
                wide.resize(per_job * padded, 0.0);
                let to = OutputRows { values: wide, step: padded };
                AutoArch::new().dispatch(Call { matrix: self, rows, addend: start, to });
                for (outputs, wide) in outputs.chunks_exact_mut(self.outputs).zip(wide.chunks_exact(padded)) {
                    match addend {
                        Addend::Outputs => outputs.iter_mut().zip(wide).for_each(|(to, value)| *to += value),
                        _ => outputs.copy_from_slice(&wide[..self.outputs]),
                    }
                }
            });
        });
    }

    /// Writes whole vectors of outputs for some rows, with zeros beyond the last output, on one core.
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(&self, rows: &[f32], addend: Addend, to: OutputRows) {
        let &Self { depth, ref weights, .. } = self;
        let group = group(S::lanes32());
        for (number, weights) in weights.chunks(depth * group).enumerate() {
            let first = number * group;
            let mut to = OutputRows { values: &mut to.values[first..], ..to };
            product::<S>(rows, depth, weights, addend.from(first), &mut to);
        }
    }
}

struct Call<'a> {
    matrix: &'a Matrix,
    rows: &'a [f32],
    addend: Addend<'a>,
    to: OutputRows<'a>,
}

impl WithSimd for Call<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        self.matrix.multiply::<S>(self.rows, self.addend, self.to);
    }
}

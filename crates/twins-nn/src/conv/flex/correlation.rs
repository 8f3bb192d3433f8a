//! Sums of shifted planes, each times a weight, for many outputs at once: what a convolution is, forwards and backwards.

use std::array;

use macerator::{AutoArch, Scalar, Simd, Vector, WithSimd};

/// `out[o][y][x] = Σ_t weight[o][t] · in[offset[t] + y · pitch + x]`
///
/// Values of a row that are next to each other are next to each other in memory for every summand, so that the sums run
/// over whole vectors without gathering. They run on over the ends of the rows; what falls between two rows is dropped.
pub(super) struct Correlation {
    /// Where the summands of the first value stand, one for each weight of an output.
    offsets: Vec<usize>,
    /// `[group of outputs][offset][output in the group]`; the last group is filled with zeros.
    weights: Vec<f32>,
    group: usize,
    outputs: usize,
    rows: usize,
    columns: usize,
    pitch: usize,
}

/// Vectors of neighbouring values that are summed at once.
const VECTORS: usize = 2;

/// Outputs whose sums fit the registers together with what is added to them: 32 registers of AVX-512, 16 elsewhere.
const WIDE_GROUP: usize = 8;
const GROUP: usize = 4;

impl Correlation {
    /// `weight` gives that of an output and an offset by their numbers.
    pub(super) fn new(
        offsets: Vec<usize>,
        outputs: usize,
        [rows, columns, pitch]: [usize; 3],
        weight: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let group = AutoArch::new().dispatch(GroupSize);
        let mut weights = vec![0.0; outputs.div_ceil(group) * offsets.len() * group];
        for (number, weights) in weights.chunks_exact_mut(offsets.len() * group).enumerate() {
            for output in number * group..outputs.min((number + 1) * group) {
                for tap in 0..offsets.len() {
                    weights[tap * group + output % group] = weight(output, tap);
                }
            }
        }
        Self { offsets, weights, group, outputs, rows, columns, pitch }
    }

    /// Values that are read beyond the last summand of the last value.
    pub(super) const OVERRUN: usize = VECTORS * 16;

    /// Outputs that are summed together.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// Calls `row` with the number of each output within one group, that of each row, and its values.
    ///
    /// `planes` must go on for [`OVERRUN`](Self::OVERRUN) values after the last that is summed; which they are does not
    /// matter. `sums` is memory to use again.
    pub(super) fn run(
        &self,
        group: usize,
        planes: &[f32],
        sums: &mut Vec<f32>,
        row: impl FnMut(usize, usize, &[f32]),
    ) {
        AutoArch::new().dispatch(Call { correlation: self, group, planes, sums, row });
    }

    #[inline(always)]
    fn run_with<S: Simd, const GROUP: usize>(
        &self,
        group: usize,
        planes: &[f32],
        sums: &mut Vec<f32>,
        mut row: impl FnMut(usize, usize, &[f32]),
    ) {
        let tile = VECTORS * S::lanes32();
        let space = ((self.rows - 1) * self.pitch + self.columns).next_multiple_of(tile);
        sums.resize(GROUP * space, 0.0);
        let taps = self.offsets.len();
        let (weights, _) = self.weights.as_chunks::<GROUP>();
        let weights = &weights[group * taps..][..taps];
        for start in (0..space).step_by(tile) {
            let done = tile_sums::<S, GROUP>(&planes[start..], &self.offsets, weights);
            for (output, done) in done.iter().enumerate() {
                sums[output * space + start..][..tile].copy_from_slice(bytemuck::cast_slice(done));
            }
        }
        let outputs = GROUP.min(self.outputs - group * GROUP);
        for (output, sums) in sums.chunks_exact(space).take(outputs).enumerate() {
            for y in 0..self.rows {
                row(output, y, &sums[y * self.pitch..][..self.columns]);
            }
        }
    }
}

/// The sums of one tile for one group of outputs. They stay in registers from the first summand to the last.
#[inline(always)]
fn tile_sums<S: Simd, const GROUP: usize>(
    planes: &[f32],
    offsets: &[usize],
    weights: &[[f32; GROUP]],
) -> [[Vector<S, f32>; VECTORS]; GROUP] {
    let lanes = S::lanes32();
    let mut sums = [[0f32.splat::<S>(); VECTORS]; GROUP];
    for (&offset, weights) in offsets.iter().zip(weights) {
        let values = &planes[offset..][..VECTORS * lanes];
        let values: [Vector<S, f32>; VECTORS] = array::from_fn(|part| {
            bytemuck::pod_read_unaligned(bytemuck::cast_slice(&values[part * lanes..][..lanes]))
        });
        // Counted loops: through iterators the sums would go to memory and back in every turn.
        for output in 0..GROUP {
            let weight = weights[output].splat::<S>();
            for part in 0..VECTORS {
                sums[output][part] = values[part].mul_add(weight, sums[output][part]);
            }
        }
    }
    sums
}

/// Asks the processor how many outputs make a group.
struct GroupSize;

impl WithSimd for GroupSize {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self) -> usize {
        if S::lanes32() == 16 { WIDE_GROUP } else { GROUP }
    }
}

struct Call<'a, F> {
    correlation: &'a Correlation,
    group: usize,
    planes: &'a [f32],
    sums: &'a mut Vec<f32>,
    row: F,
}

impl<F: FnMut(usize, usize, &[f32])> WithSimd for Call<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self { correlation, group, planes, sums, row } = self;
        match correlation.group {
            WIDE_GROUP => correlation.run_with::<S, WIDE_GROUP>(group, planes, sums, row),
            _ => correlation.run_with::<S, GROUP>(group, planes, sums, row),
        }
    }
}

//! The samples of a batch, on all cores.

use rayon::prelude::*;

/// Sizes, in values, of what one convolution works on.
pub(super) struct Batch {
    pub(super) samples: usize,
    /// What a sample takes when it has been laid out.
    pub(super) laid_out: usize,
    /// What a group of outputs is for one sample; the last may be smaller.
    pub(super) group: usize,
    /// What all outputs are for one sample.
    pub(super) output: usize,
}

impl Batch {
    /// The outputs for samples that stand one after the other.
    ///
    /// `lay_out` writes a sample to memory that is zero where it has not been written before; `sum` takes what has been laid
    /// out, memory to use again, and the number of a group, and writes the group's outputs. Each thread takes whole samples;
    /// where there are fewer than threads, the groups of one sample. Values do not depend on which it is.
    pub(super) fn run(
        &self,
        samples: &[f32],
        lay_out: impl Fn(&[f32], &mut [f32]) + Sync,
        sum: impl Fn(&[f32], &mut Vec<f32>, usize, &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let mut outputs = vec![0.0; self.samples * self.output];
        if outputs.is_empty() {
            return outputs;
        }
        let sample = samples.len() / self.samples;
        if self.samples >= rayon::current_num_threads() {
            outputs.par_chunks_mut(self.output).zip(samples.par_chunks(sample)).for_each_init(
                || (vec![0.0; self.laid_out], Vec::new()),
                |(laid_out, sums), (output, sample)| {
                    lay_out(sample, laid_out);
                    for (number, output) in output.chunks_mut(self.group).enumerate() {
                        sum(laid_out, sums, number, output);
                    }
                },
            );
        } else {
            let mut laid_out = vec![0.0; self.laid_out];
            for (output, sample) in outputs.chunks_mut(self.output).zip(samples.chunks(sample)) {
                lay_out(sample, &mut laid_out);
                (output.par_chunks_mut(self.group).enumerate())
                    .for_each_init(Vec::new, |sums, (number, output)| sum(&laid_out, sums, number, output));
            }
        }
        outputs
    }
}

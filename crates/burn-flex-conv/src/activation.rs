//! ReLU on slices, on all cores.

use macerator::AutoArch;
use rayon::prelude::*;

/// Number of values that a thread takes at once.
const JOB: usize = 16 * 1024;

/// Applies `max(x, 0)` in place. NaN stays NaN.
pub(crate) fn relu(values: &mut [f32]) {
    values.par_chunks_mut(JOB).for_each(|values| {
        AutoArch::new().dispatch(|| {
            for value in values.iter_mut() {
                *value = if *value <= 0.0 { 0.0 } else { *value };
            }
        });
    });
}

/// Computes ReLU's gradient from its outputs, in place. As in PyTorch, it is 0 where the output is 0, and unchanged where the output is
/// NaN.
///
/// # Panics
///
/// If the numbers of outputs and of values of the gradient differ.
///
/// ```
/// let mut gradient = [1.0, 2.0, 3.0];
/// burn_flex_conv::activation::gate(&mut gradient, &[0.5, 0.0, f32::NAN]);
/// assert_eq!(gradient, [1.0, 0.0, 3.0]);
/// ```
pub fn gate(gradient: &mut [f32], outputs: &[f32]) {
    assert_eq!(gradient.len(), outputs.len(), "values of the gradient and of the outputs");
    gradient.par_chunks_mut(JOB).zip(outputs.par_chunks(JOB)).for_each(|(gradient, outputs)| {
        AutoArch::new().dispatch(|| {
            for (gradient, output) in gradient.iter_mut().zip(outputs) {
                *gradient = if *output <= 0.0 { 0.0 } else { *gradient };
            }
        });
    });
}

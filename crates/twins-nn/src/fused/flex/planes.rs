use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::fused::geometry::Geometry;

/// Minimum number of values for one thread. With fewer, starting threads costs more than it saves.
const JOB: usize = 16_384;

impl Geometry {
    pub(super) fn values(&self) -> usize {
        self.samples * self.channels * self.space
    }

    fn planes_per_job(&self) -> usize {
        (JOB / self.space).max(1)
    }

    fn is_small(&self) -> bool {
        self.values() <= JOB
    }

    /// Calls `body` with the number and the values of every plane, on all cores.
    pub(super) fn for_each(&self, out: &mut [f32], body: impl Fn(usize, &mut [f32]) + Sync) {
        if self.is_small() {
            out.chunks_mut(self.space).enumerate().for_each(|(plane, values)| body(plane, values));
        } else {
            out.par_chunks_mut(self.space)
                .with_min_len(self.planes_per_job())
                .enumerate()
                .for_each(|(plane, values)| body(plane, values));
        }
    }

    /// Returns a new tensor: the values of `x`, each mapped by the function that `of_plane` returns for its plane.
    pub(super) fn produce<F: Fn(f32) -> f32>(
        &self,
        x: &[f32],
        of_plane: impl Fn(usize) -> F + Sync,
    ) -> Vec<f32> {
        assert_eq!(x.len(), self.values(), "a contiguous tensor of this geometry");
        let mut out = Vec::with_capacity(x.len());
        let write = |(plane, (out, x)): (usize, (&mut [MaybeUninit<f32>], &[f32]))| {
            let value = of_plane(plane);
            for (out, &x) in out.iter_mut().zip(x) {
                out.write(value(x));
            }
        };
        let slots = &mut out.spare_capacity_mut()[..x.len()];
        if self.is_small() {
            slots.chunks_mut(self.space).zip(x.chunks(self.space)).enumerate().for_each(write);
        } else {
            slots
                .par_chunks_mut(self.space)
                .zip(x.par_chunks(self.space))
                .with_min_len(self.planes_per_job())
                .enumerate()
                .for_each(write);
        }
        // Filling the memory with zeros first would take another pass: docs/layer.md has its cost.
        // SAFETY: `slots` and `x` have the same length and are split at the same places, so all `x.len()` slots, which
        // lie within the capacity, have been written above. A panic in between leaves `out` empty.
        #[allow(unsafe_code)]
        unsafe {
            out.set_len(x.len());
        }
        out
    }

    /// Returns the results of `body` for every plane from `first` on, in order for any number of threads.
    pub(super) fn map<T: Send>(&self, first: usize, body: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
        let planes = first..self.samples * self.channels;
        if self.is_small() {
            planes.map(body).collect()
        } else {
            planes.into_par_iter().with_min_len(self.planes_per_job()).map(body).collect()
        }
    }

    pub(super) fn channel(&self, plane: usize) -> usize {
        plane % self.channels
    }

    pub(super) fn plane<'a>(&self, values: &'a [f32], plane: usize) -> &'a [f32] {
        &values[plane * self.space..(plane + 1) * self.space]
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// The second size is above [`JOB`], so that the planes are divided among threads.
    fn sizes() -> [Geometry; 3] {
        [[2, 3, 5], [3, 2, JOB / 4], [1, 1, 1]].map(|dims| Geometry::new(&dims))
    }

    #[test]
    fn every_value_is_produced_from_its_own() {
        for geometry in sizes() {
            let x: Vec<f32> = (0..geometry.values()).map(|place| place as f32).collect();
            let produced = geometry.produce(&x, |plane: usize| move |value: f32| value + 0.5 * plane as f32);
            assert_eq!(produced.len(), x.len());
            for (place, value) in produced.into_iter().enumerate() {
                // Multiples of 1/2 below 2^24 are exact.
                assert_eq!(value, place as f32 + 0.5 * (place / geometry.space) as f32, "{geometry:?}");
            }
        }
    }

    #[test]
    fn a_panic_in_between_frees_the_memory_and_returns_nothing() {
        for geometry in sizes() {
            let x = vec![1.0; geometry.values()];
            let last = geometry.samples * geometry.channels - 1;
            let produce = || {
                geometry.produce(&x, |plane: usize| {
                    assert!(plane < last, "the last plane");
                    |value: f32| value
                })
            };
            assert!(catch_unwind(AssertUnwindSafe(produce)).is_err(), "{geometry:?}");
        }
    }
}

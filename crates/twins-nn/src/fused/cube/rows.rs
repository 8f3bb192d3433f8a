//! A batch as a matrix with one row for every pixel of every sample.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;

/// A batch in which the channels of each pixel are contiguous.
#[derive(Clone)]
pub(super) struct Rows {
    /// `[samples, ..., channels]`.
    tensor: CubeTensor,
}

impl Rows {
    /// Converts a batch `[samples, channels, ...]`. It is copied if it has another memory layout.
    pub(super) fn new(batch: CubeTensor) -> Self {
        let tensor = permute_nchw_to_nhwc(batch);
        Self { tensor: if are_rows(&tensor) { tensor } else { into_contiguous(tensor) } }
    }

    /// Allocates a batch of the same sizes and precision, without gaps.
    pub(super) fn empty_like(&self) -> Self {
        let CubeTensor { client, device, meta, dtype, .. } = &self.tensor;
        let tensor =
            empty_device_contiguous_dtype(client.clone(), device.clone(), meta.shape().clone(), *dtype);
        Self { tensor }
    }

    /// Returns the batch, `[samples, channels, ...]`.
    pub(super) fn into_batch(self) -> CubeTensor {
        permute_nhwc_to_nchw(self.tensor)
    }

    pub(super) fn tensor(&self) -> &CubeTensor {
        &self.tensor
    }

    pub(super) fn dtype(&self) -> DType {
        self.tensor.dtype
    }

    pub(super) fn samples(&self) -> usize {
        self.tensor.meta.shape()[0]
    }

    pub(super) fn channels(&self) -> usize {
        self.tensor.meta.shape()[self.last_axis()]
    }

    /// Number of pixels of all samples.
    pub(super) fn count(&self) -> usize {
        self.tensor.meta.shape()[..self.last_axis()].iter().product()
    }

    /// Distance from one row to the next, in values.
    pub(super) fn step(&self) -> usize {
        // If the axis before the channels has only one element, its stride has no meaning.
        let (shape, strides) = (self.tensor.meta.shape(), self.tensor.meta.strides());
        let axis = (0..self.last_axis()).rev().find(|axis| shape[*axis] > 1);
        axis.map_or(self.channels(), |axis| {
            strides[axis] / shape[axis + 1..self.last_axis()].iter().product::<usize>()
        })
    }

    fn last_axis(&self) -> usize {
        self.tensor.meta.shape().num_dims() - 1
    }
}

/// Whether the last axis is contiguous and the others are evenly spaced.
fn are_rows(tensor: &CubeTensor) -> bool {
    let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
    let last = shape.num_dims() - 1;
    let mut expected = None;
    for axis in (0..last).rev().filter(|axis| shape[*axis] > 1) {
        if strides[axis] < shape[last] || expected.is_some_and(|expected| strides[axis] != expected) {
            return false;
        }
        expected = Some(strides[axis] * shape[axis]);
    }
    shape[last] == 1 || strides[last] == 1
}

//! The memory order of flex tensors.

use burn::backend::TensorMetadata;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

use crate::memory;

/// The order of the values of a tensor `[n, channels, height, width]` in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One channel after the other, as in tensors that Burn creates.
    ChannelsFirst,
    /// One pixel after the other, with contiguous channels.
    ChannelsLast,
}

/// Returns the order of a tensor's values, or `None` for other views, such as a part of a larger tensor or a repeated
/// tensor.
///
/// ```
/// use burn::backend::flex::FlexTensor;
/// use burn::tensor::TensorData;
/// use burn_flex_conv::format::{Format, format};
///
/// let tensor = FlexTensor::from_data(TensorData::zeros::<f32, _>([2, 4, 5, 3]));
/// assert_eq!(format(&tensor), Some(Format::ChannelsFirst));
/// assert_eq!(format(&tensor.permute(&[0, 3, 1, 2])), Some(Format::ChannelsLast));
/// ```
pub fn format(tensor: &FlexTensor) -> Option<Format> {
    if tensor.is_contiguous() {
        return Some(Format::ChannelsFirst);
    }
    let last = tensor.layout().num_dims() == 4 && tensor.layout().permute(&[0, 2, 3, 1]).is_contiguous();
    last.then_some(Format::ChannelsLast)
}

/// Returns the tensor with one of the two orders. Other views are copied with the channels first.
pub fn ordered(tensor: FlexTensor) -> (FlexTensor, Format) {
    match format(&tensor) {
        Some(format) => (tensor, format),
        None => (tensor.to_contiguous(), Format::ChannelsFirst),
    }
}

/// Returns the tensor with the channels last.
pub fn channels_last(tensor: FlexTensor) -> FlexTensor {
    match format(&tensor) {
        Some(Format::ChannelsLast) => tensor,
        _ => tensor.permute(&[0, 2, 3, 1]).to_contiguous().permute(&[0, 3, 1, 2]),
    }
}

/// Returns the values of a single-precision tensor that has a [format](Format), in the order of that format.
///
/// # Panics
///
/// If the tensor has no format, or is not in single precision.
pub fn values(tensor: &FlexTensor) -> &[f32] {
    assert!(format(tensor).is_some(), "a view without an order");
    let layout = tensor.layout();
    &tensor.storage()[layout.start_offset()..][..layout.num_elements()]
}

/// Returns the values of the tensor for writing. They are copied first if other tensors share their memory.
///
/// # Panics
///
/// The same as [`values`].
pub fn values_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    assert!(format(tensor).is_some(), "a view without an order");
    let (start, count) = (tensor.layout().start_offset(), tensor.layout().num_elements());
    &mut tensor.storage_mut()[start..][..count]
}

/// Returns a tensor `[n, channels, height, width]` with the channels last, to be filled with results.
///
/// Its initial values are those that its [memory] held before.
pub fn recycled_channels_last([samples, channels, height, width]: [usize; 4]) -> FlexTensor {
    memory::recycled(Shape::new([samples, height, width, channels])).permute(&[0, 3, 1, 2])
}

/// Returns the tensor with the channels first. Other tensors may share its memory.
pub fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// Returns a contiguous tensor of these values.
///
/// # Panics
///
/// If the number of values does not match the shape.
pub fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    assert_eq!(values.len(), shape.num_elements());
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// The sizes of a tensor of rank 4.
pub(crate) fn dims(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

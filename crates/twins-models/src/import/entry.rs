//! A tensor of a weight file that has not been read yet.

use std::ops::Range;
use std::sync::Arc;

use burn::store::{bridge, burn_pack, pytorch_reader};
use burn::tensor::{Bytes, DType, Shape, TensorData};

/// The source of a tensor's bytes.
#[derive(Clone)]
pub(crate) enum Source {
    /// In a PyTorch file, read on access.
    Pytorch(pytorch_reader::Tensor),
    /// In the bytes of a Burn record.
    Burnpack(burn_pack::Tensor),
    /// In the bytes of a safetensors file.
    Safetensors { file: Arc<Vec<u8>>, range: Range<usize>, dtype: safetensors::Dtype },
}

/// A tensor of a weight file.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) shape: Vec<usize>,
    pub(crate) source: Source,
}

impl Entry {
    pub(crate) fn num_elements(&self) -> usize {
        self.shape.iter().fold(1, |count, size| count.saturating_mul(*size))
    }

    /// Returns the values as f32, in the file's order, or a description of what is wrong with them.
    pub(crate) fn floats(&self) -> Result<Vec<f32>, String> {
        let data = match &self.source {
            Source::Pytorch(tensor) => {
                let packed = bridge::from_pytorch(tensor.clone());
                if !packed.dtype.is_float() {
                    return Err(format!("holds {:?}, not floating-point numbers", tensor.dtype()));
                }
                bridge::into_data(packed).map_err(|error| error.to_string())?
            }
            Source::Burnpack(tensor) => {
                if !tensor.dtype.is_float() {
                    return Err(format!("holds {:?}, not floating-point numbers", tensor.dtype));
                }
                bridge::into_data(tensor.clone()).map_err(|error| error.to_string())?
            }
            Source::Safetensors { file, range, dtype } => {
                let float = match dtype {
                    safetensors::Dtype::F64 => DType::F64,
                    safetensors::Dtype::F32 => DType::F32,
                    safetensors::Dtype::F16 => DType::F16,
                    safetensors::Dtype::BF16 => DType::BF16,
                    other => return Err(format!("holds {other:?}, not floating-point numbers")),
                };
                let bytes = Bytes::from_bytes_vec(file[range.clone()].to_vec());
                TensorData::try_from_bytes(bytes, Shape::from(self.shape.clone()), float)
                    .map_err(|error| error.to_string())?
            }
        };
        data.convert::<f32>().try_into_vec::<f32>().map_err(|error| format!("{error:?}"))
    }
}

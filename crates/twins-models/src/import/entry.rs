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
                // Copied, because a file may place the values at any byte, which only some processors can read.
                let bytes = tensor.to_bytes().map_err(|error| error.to_string())?;
                let bytes = Bytes::from_bytes_vec(bytes.to_vec());
                TensorData::try_from_bytes(bytes, tensor.shape.clone(), tensor.dtype)
                    .map_err(|error| error.to_string())?
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
        data.try_into_vec_as::<f32>().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_may_place_values_at_any_byte() {
        // 1 and -2 in half precision, behind one byte, and in double precision.
        let half = [&[7_u8][..], &0x3c00_u16.to_le_bytes(), &0xc000_u16.to_le_bytes()].concat();
        let double = [&[7_u8][..], &1.0_f64.to_le_bytes(), &(-2.0_f64).to_le_bytes()].concat();
        for (dtype, file) in [(DType::F16, half), (DType::F64, double)] {
            let length = file.len();
            let bytes = Bytes::from_bytes_vec(file).shared().view(1, length).unwrap();
            let tensor = burn_pack::Tensor::new("a".to_owned(), dtype, vec![2], None, bytes);
            let entry = Entry { shape: vec![2], source: Source::Burnpack(tensor) };
            assert_eq!(entry.floats(), Ok(vec![1.0, -2.0]), "{dtype:?}");
        }
    }
}

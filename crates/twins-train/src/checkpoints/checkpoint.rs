use std::collections::BTreeMap;

use burn::tensor::{DType, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};
use twins_files::safetensors_bytes;

/// The metadata entry that holds the checksum.
const CHECKSUM: &str = "sha256";

/// Named tensors and text entries in one safetensors file, whose metadata includes a SHA-256 checksum of its content.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Checkpoint {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tensors: BTreeMap<String, TensorData>,
}

impl Checkpoint {
    /// Serializes the checkpoint, with its checksum, to the content of a file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut metadata = self.metadata.clone();
        metadata.insert(CHECKSUM.to_owned(), self.checksum());
        let views = self
            .tensors
            .iter()
            .map(|(name, data)| {
                let dtype = to_safetensors(data.dtype()).ok_or_else(|| {
                    format!("\"{name}\" has type {:?}, which has no safetensors form", data.dtype())
                })?;
                TensorView::new(dtype, data.shape().to_vec(), data.as_bytes())
                    .map(|view| (name, view))
                    .map_err(|error| error.to_string())
            })
            .collect::<Result<Vec<_>, String>>()?;
        safetensors_bytes(views, &metadata).map_err(|error| error.to_string())
    }

    /// Reads a checkpoint from the content of a file and verifies its checksum.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes)
            .map_err(|error| format!("it is no complete safetensors file ({error})"))?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let mut metadata: BTreeMap<String, String> =
            header.metadata().clone().unwrap_or_default().into_iter().collect();
        let expected = metadata.remove(CHECKSUM).ok_or("it has no checksum")?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let dtype = from_safetensors(view.dtype()).ok_or_else(|| {
                format!("\"{name}\" has type {:?}, which a model cannot have", view.dtype())
            })?;
            let data = TensorData::try_from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype)
                .map_err(|error| error.to_string())?;
            tensors.insert(name.to_owned(), data);
        }
        let checkpoint = Self { metadata, tensors };
        match checkpoint.checksum() == expected {
            true => Ok(checkpoint),
            false => Err("its checksum does not match: it was altered or damaged".to_owned()),
        }
    }

    /// Adds tensors, with `prefix/` in front of their names.
    pub(crate) fn insert(&mut self, prefix: &str, tensors: &BTreeMap<String, TensorData>) {
        let prefixed = tensors.iter().map(|(name, data)| (format!("{prefix}/{name}"), data.clone()));
        self.tensors.extend(prefixed);
    }

    /// Removes and returns the tensors whose names begin with `prefix/`, without the prefix.
    pub(crate) fn take(&mut self, prefix: &str) -> BTreeMap<String, TensorData> {
        let start = format!("{prefix}/");
        self.tensors
            .extract_if(.., |name, _| name.starts_with(&start))
            .map(|(name, data)| (name[start.len()..].to_owned(), data))
            .collect()
    }

    /// Like [`take`](Self::take), for tensors of floats with one axis.
    ///
    /// # Errors
    ///
    /// A description of the first other tensor.
    pub(crate) fn take_flat(&mut self, prefix: &str) -> Result<BTreeMap<String, TensorData>, String> {
        let tensors = self.take(prefix);
        let other = |data: &TensorData| data.shape().as_slice().len() != 1 || !data.dtype().is_float();
        match tensors.iter().find(|(_, data)| other(data)) {
            None => Ok(tensors),
            Some((name, data)) => Err(format!(
                "\"{prefix}/{name}\" has shape {:?} and type {:?}, and should be a list of floats",
                data.shape().as_slice(),
                data.dtype()
            )),
        }
    }

    /// Computes the checksum over the sorted entries. The length of each part precedes it, so that different contents
    /// cannot produce the same byte sequence.
    fn checksum(&self) -> String {
        let mut hash = Sha256::new();
        let mut feed = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        for (key, value) in &self.metadata {
            feed(key.as_bytes());
            feed(value.as_bytes());
        }
        for (name, data) in &self.tensors {
            feed(name.as_bytes());
            feed(format!("{:?} {:?}", data.dtype(), data.shape().as_slice()).as_bytes());
            feed(data.as_bytes());
        }
        format!("{:x}", hash.finalize())
    }
}

const DTYPES: [(DType, Dtype); 12] = [
    (DType::F64, Dtype::F64),
    (DType::F32, Dtype::F32),
    (DType::F16, Dtype::F16),
    (DType::BF16, Dtype::BF16),
    (DType::I64, Dtype::I64),
    (DType::I32, Dtype::I32),
    (DType::I16, Dtype::I16),
    (DType::I8, Dtype::I8),
    (DType::U64, Dtype::U64),
    (DType::U32, Dtype::U32),
    (DType::U16, Dtype::U16),
    (DType::U8, Dtype::U8),
];

fn to_safetensors(dtype: DType) -> Option<Dtype> {
    DTYPES.iter().find(|pair| pair.0 == dtype).map(|pair| pair.1)
}

fn from_safetensors(dtype: Dtype) -> Option<DType> {
    DTYPES.iter().find(|pair| pair.1 == dtype).map(|pair| pair.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        checkpoint.metadata.insert("state".into(), "{\"epoch\":3}".into());
        checkpoint.insert(
            "model",
            &BTreeMap::from([
                ("fc.weight".into(), TensorData::from([[1.0f32, -0.0], [f32::MIN_POSITIVE, 1e-45]])),
                ("steps".into(), TensorData::from([7i64])),
            ]),
        );
        checkpoint
    }

    #[test]
    fn round_trip_is_bit_exact() {
        let mut read = Checkpoint::from_bytes(&checkpoint().to_bytes().unwrap()).unwrap();
        assert_eq!(read, checkpoint());
        let model = read.take("model");
        assert_eq!(model["fc.weight"].as_bytes(), checkpoint().tensors["model/fc.weight"].as_bytes());
        assert!(read.tensors.is_empty());
    }

    #[test]
    fn every_altered_or_missing_byte_is_noticed() {
        let bytes = checkpoint().to_bytes().unwrap();
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            match Checkpoint::from_bytes(&altered) {
                Err(_) => {}
                // White space that pads the header may change: the content is the same.
                Ok(read) => assert_eq!(read, checkpoint(), "byte {index}"),
            }
            assert!(Checkpoint::from_bytes(&bytes[..index]).is_err());
        }
    }

    #[test]
    fn matrices_and_integers_are_no_lists_of_floats() {
        let flat = |data: TensorData| {
            let mut checkpoint = Checkpoint::default();
            checkpoint.insert("optimiser", &BTreeMap::from([("w".to_owned(), data)]));
            checkpoint.take_flat("optimiser")
        };
        assert_eq!(flat(TensorData::from([1.5f32, 2.0])).unwrap()["w"], TensorData::from([1.5f32, 2.0]));
        for (data, found) in [
            (TensorData::from([[1.5f32, 2.0]]), "shape [1, 2] and type F32"),
            (TensorData::from([1i64, 2]), "shape [2] and type I64"),
        ] {
            let message = flat(data).unwrap_err();
            assert!(message.contains("\"optimiser/w\"") && message.contains(found), "{message}");
        }
    }
}

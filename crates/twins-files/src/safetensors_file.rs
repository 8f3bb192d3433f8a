//! Safetensors files whose bytes depend only on their content.

use std::collections::BTreeMap;

use safetensors::SafeTensorError;
use safetensors::tensor::TensorView;

/// Alignment of the header. The file starts with the length of the header in 8 bytes, and the header is padded so that the
/// data starts at a multiple of 8.
const WORD: usize = 8;

/// Returns the bytes of a safetensors file, with its metadata sorted by key.
///
/// [`safetensors::serialize`] takes the metadata as a `HashMap` and writes them in its order, which differs from process
/// to process. Here the same content gives the same bytes, so two files can be compared by their checksums.
///
/// ```
/// use std::collections::BTreeMap;
/// use safetensors::SafeTensors;
/// use safetensors::tensor::{Dtype, TensorView};
///
/// let view = TensorView::new(Dtype::U8, vec![3], &[1, 2, 3])?;
/// let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
/// let bytes = twins_files::safetensors_bytes([("w", view)], &metadata)?;
/// assert_eq!(SafeTensors::deserialize(&bytes)?.tensor("w")?.data(), [1, 2, 3]);
/// # Ok::<(), safetensors::SafeTensorError>(())
/// ```
///
/// # Errors
///
/// The same as [`safetensors::serialize`].
pub fn safetensors_bytes<'data, S: AsRef<str> + Ord + std::fmt::Display>(
    tensors: impl IntoIterator<Item = (S, TensorView<'data>)>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, SafeTensorError> {
    let mut file = safetensors::serialize(tensors, None)?;
    let length = file.first_chunk::<WORD>().expect("every file begins with its header's length");
    let data = WORD + u64::from_le_bytes(*length) as usize;

    let mut header = format!("{{\"__metadata__\":{}", serde_json::to_string(metadata)?).into_bytes();
    // The part of the header after the opening brace. In a file without tensors this is only the closing brace.
    let entries = &file[WORD..data].trim_ascii_end()[1..];
    if entries != b"}" {
        header.push(b',');
    }
    header.extend_from_slice(entries);
    header.resize(header.len().next_multiple_of(WORD), b' ');

    let length = (header.len() as u64).to_le_bytes();
    file.splice(..data, length.into_iter().chain(header));
    Ok(file)
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;
    use safetensors::tensor::Dtype;

    use super::*;

    #[test]
    fn the_same_content_has_the_same_bytes_and_is_read_back() {
        let keys = ["format", "card", "a \"quoted\" key", "z", "ä"];
        let metadata: BTreeMap<String, String> =
            keys.iter().map(|key| (key.to_string(), format!("{{\"of\": \"{key}\"}}\n"))).collect();
        for count in [0, 1, 3] {
            let data: Vec<Vec<u8>> = (0..count).map(|index| vec![index; 5 + usize::from(index)]).collect();
            let bytes = |metadata: &BTreeMap<String, String>| {
                let tensors = data.iter().enumerate().map(|(index, data)| {
                    let view = TensorView::new(Dtype::U8, vec![data.len()], data).unwrap();
                    (format!("tensor {index}"), view)
                });
                safetensors_bytes(tensors, metadata).unwrap()
            };
            let file = bytes(&metadata);
            // A clone has the same order; what matters is that no hash with a random key is between.
            assert_eq!(file, bytes(&metadata.clone().into_iter().rev().collect()));
            let (_, header) = SafeTensors::read_metadata(&file).unwrap();
            assert_eq!(header.metadata().as_ref().unwrap().len(), keys.len());
            assert!(header.metadata().as_ref().unwrap().iter().all(|(key, value)| metadata[key] == *value));
            let read = SafeTensors::deserialize(&file).unwrap();
            assert_eq!(read.len(), data.len());
            for (index, data) in data.iter().enumerate() {
                assert_eq!(read.tensor(&format!("tensor {index}")).unwrap().data(), data);
            }
            let text = String::from_utf8_lossy(&file).into_owned();
            let places: Vec<_> =
                metadata.keys().map(|key| text.find(&serde_json::to_string(key).unwrap()).unwrap()).collect();
            assert!(places.is_sorted(), "{text}");
        }
    }
}

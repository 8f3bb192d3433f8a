use std::collections::BTreeMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};

const CHECKSUM: &str = "sha256";

/// The content of a checkpoint.
#[derive(Clone, Debug)]
pub struct Forged {
    /// The text entries, without the checksum.
    pub metadata: BTreeMap<String, String>,
    /// Type, shape and bytes of each tensor.
    pub tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

/// Changes the content of a checkpoint and gives it the checksum of what it then holds, so that only the content can be refused. `None` if
/// the bytes are no safetensors file, or no longer make one.
pub fn forged(bytes: &[u8], change: impl FnOnce(&mut Forged)) -> Option<Vec<u8>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let file = SafeTensors::deserialize(bytes).ok()?;
    let mut metadata: BTreeMap<String, String> = header.metadata().clone()?.into_iter().collect();
    metadata.remove(CHECKSUM);
    let tensors = file
        .iter()
        .map(|(name, view)| (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())));
    let mut forged = Forged { metadata, tensors: tensors.collect() };
    change(&mut forged);
    let checksum = checksum(&forged);
    forged.metadata.insert(CHECKSUM.to_owned(), checksum);
    let views = forged
        .tensors
        .iter()
        .map(|(name, (dtype, shape, data))| Some((name, TensorView::new(*dtype, shape.clone(), data).ok()?)));
    twins_files::safetensors_bytes(views.collect::<Option<Vec<_>>>()?, &forged.metadata).ok()
}

/// The checksum of a run's checkpoints.
fn checksum(content: &Forged) -> String {
    let mut hash = Sha256::new();
    let mut feed = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    for (key, value) in &content.metadata {
        feed(key.as_bytes());
        feed(value.as_bytes());
    }
    for (name, (dtype, shape, data)) in &content.tensors {
        feed(name.as_bytes());
        feed(format!("{dtype:?} {shape:?}").as_bytes());
        feed(data);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

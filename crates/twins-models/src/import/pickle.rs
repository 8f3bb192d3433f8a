//! Opens PyTorch files. Pickles are parsed and never executed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use burn::store::pytorch_reader::{FileFormat, PickleValue, PytorchError, PytorchReader};
use zip::ZipArchive;

use crate::error::ModelError;
use crate::import::archive;
use crate::import::checkpoint::Checkpoint;
use crate::import::entry::{Entry, Source};
use crate::import::report::WeightFormat;
use crate::import::scan::{Objection, scan};

/// The magic number of PyTorch's legacy format, as newer and as the oldest pickle protocols write it.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const MAGIC_TEXT: &[u8] = b"119547037146038801333356";

// A ResNet-152 with its optimiser takes some 60 000 instructions. An instruction can cost the
// reader about 200 bytes, so these limits keep it below 64 MiB plus four times the file's size.
const INSTRUCTIONS: u64 = 300_000;
const BYTES_PER_INSTRUCTION: u64 = 64;

/// The number of bytes by which a pickle may be larger than its file, because small pickles compress well.
const SLACK: u64 = 1 << 20;

pub(super) fn open(path: &Path, length: u64) -> Result<Checkpoint, ModelError> {
    inspect(path, length)?;
    let unusable = |error: PytorchError| unusable(path, error);
    let tree = PytorchReader::read_pickle_data(path, None).map_err(unusable)?;
    let mut outline = Outline::default();
    outline.walk(&tree, &mut String::new());
    drop(tree);
    let reader = PytorchReader::new(path).map_err(unusable)?;
    let format = match reader.metadata().format_type {
        FileFormat::Zip => WeightFormat::PytorchZip,
        FileFormat::Legacy | FileFormat::Pickle => WeightFormat::PytorchLegacy,
        FileFormat::Tar => {
            let reason = "it is a TAR archive from before PyTorch 0.1.10: save it again with a newer PyTorch";
            return Err(ModelError::NotACheckpoint { path: path.to_owned(), reason: reason.to_owned() });
        }
    };
    let entries = reader
        .into_tensors()
        .into_iter()
        .map(|(key, tensor)| (key, Entry { shape: tensor.shape().to_vec(), source: Source::Pytorch(tensor) }))
        .collect::<BTreeMap<_, _>>();
    if entries.is_empty() {
        let reason = "it holds no tensors".to_owned();
        return Err(ModelError::NotACheckpoint { path: path.to_owned(), reason });
    }
    Ok(Checkpoint {
        path: path.to_owned(),
        format,
        length,
        entries,
        renamed_from: BTreeMap::new(),
        dictionaries: outline.dictionaries,
        objects: outline.objects,
        metadata: HashMap::new(),
    })
}

/// Scans the pickle's instructions before any of them is interpreted.
///
/// The reader interprets them safely, but builds every object that they describe, and a few bytes can describe
/// gigabytes of objects.
fn inspect(path: &Path, length: u64) -> Result<(), ModelError> {
    let read = |source| ModelError::Read { path: path.to_owned(), source };
    let unusable = |reason: String| ModelError::NotACheckpoint { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(read)?;
    let mut head = Vec::new();
    file.by_ref().take(64).read_to_end(&mut head).map_err(read)?;
    let limit = INSTRUCTIONS + length / BYTES_PER_INSTRUCTION;
    let found = if head.starts_with(b"PK") {
        // The reader of PyTorch files uses the same crate, so both find the same pickle. What is unreadable is unreadable for it too, and
        // it reports the reason.
        let Ok(mut archive) = ZipArchive::new(BufReader::new(file)) else { return Ok(()) };
        let Some(name) = archive::pickle_name(&archive) else { return Ok(()) };
        let Ok(pickle) = archive.by_name(&name) else { return Ok(()) };
        let size = pickle.size();
        if size > length + SLACK {
            return Err(unusable(format!("its pickle unfolds to {size} bytes, the file has {length}")));
        }
        scan(&mut BufReader::new(pickle), 1, limit)
    } else if let Some(pickles) = pickles(&head) {
        file.rewind().map_err(read)?;
        scan(&mut BufReader::new(file), pickles, limit)
    } else {
        return Ok(());
    };
    found.map_err(|objection| match objection {
        Objection::Refused(name) => ModelError::RefusedPickle { path: path.to_owned(), name },
        Objection::Truncated => unusable("it is truncated".to_owned()),
        Objection::TooMany(limit) => unusable(format!("its pickle builds more than {limit} objects")),
    })
}

/// The number of pickles at the beginning of a file that is not an archive.
fn pickles(head: &[u8]) -> Option<usize> {
    let holds = |text: &[u8]| head.windows(text.len()).any(|window| window == text);
    if holds(&MAGIC) || holds(MAGIC_TEXT) {
        // The magic number, version, system, object, and list of storages.
        return Some(5);
    }
    matches!(head.first(), Some(0x80 | b'(' | b'}' | b']' | b'c')).then_some(1)
}

fn unusable(path: &Path, error: PytorchError) -> ModelError {
    let reason = match error {
        PytorchError::Io(source) => match source.kind() {
            ErrorKind::UnexpectedEof => "it is truncated".to_owned(),
            ErrorKind::InvalidData | ErrorKind::InvalidInput => format!("it is damaged: {source}"),
            _ => return ModelError::Read { path: path.to_owned(), source },
        },
        PytorchError::Zip(error) => format!("its ZIP archive is damaged or truncated: {error}"),
        PytorchError::Pickle(error) => match error {
            burn::store::pytorch::PickleError::Io(source) if source.kind() == ErrorKind::UnexpectedEof => {
                "it is truncated".to_owned()
            }
            error => error.to_string(),
        },
        PytorchError::InvalidFormat(reason) => reason,
        other => other.to_string(),
    };
    ModelError::NotACheckpoint { path: path.to_owned(), reason }
}

/// The structure of a pickle: its dictionaries and objects.
#[derive(Default)]
struct Outline {
    dictionaries: BTreeSet<String>,
    objects: BTreeMap<String, String>,
}

impl Outline {
    /// Walks a value at a dotted path; returns whether it contains a tensor.
    fn walk(&mut self, value: &PickleValue, path: &mut String) -> bool {
        match value {
            PickleValue::Dict(items) => {
                let mut holds = false;
                for (key, item) in items {
                    holds |= self.step(key, item, path);
                }
                if holds {
                    self.dictionaries.insert(path.clone());
                }
                holds
            }
            PickleValue::List(items) => {
                let mut holds = false;
                for (index, item) in items.iter().enumerate() {
                    holds |= self.step(&index.to_string(), item, path);
                }
                holds
            }
            PickleValue::Unsupported(kind) if kind == "torch.Tensor" => true,
            PickleValue::Unsupported(kind) => {
                self.objects.insert(path.clone(), kind.clone());
                false
            }
            _ => false,
        }
    }

    fn step(&mut self, key: &str, item: &PickleValue, path: &mut String) -> bool {
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        let holds = self.walk(item, path);
        path.truncate(length);
        holds
    }
}

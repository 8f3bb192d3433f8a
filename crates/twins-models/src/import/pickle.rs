//! Opens PyTorch files. Pickles are parsed and never executed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use burn::store::pytorch_reader::{FileFormat, PickleValue, PytorchError, PytorchReader};
use twins_files::shortened;
use zip::ZipArchive;

use crate::error::ModelError;
use crate::import::archive;
use crate::import::checkpoint::Checkpoint;
use crate::import::entry::{Entry, Source};
use crate::import::report::WeightFormat;
use crate::import::scan::{Limits, Objection, scan};

/// The magic number of PyTorch's legacy format, as newer and as the oldest pickle protocols write it.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const MAGIC_TEXT: &[u8] = b"119547037146038801333356";

// A ResNet-152 with its optimiser takes some 60 000 instructions.
const INSTRUCTIONS: u64 = 300_000;
const BYTES_PER_INSTRUCTION: u64 = 64;

/// The memory for the objects of a pickle: this, and as much as the file. Together with a copy of the pickle and three copies of the names
/// of the file's entries, it stays below 64 MiB and four times the file's size.
const OBJECTS: u64 = 56 << 20;

/// The memory for the full names of a file's entries: this, and half as much as the file. The full name consists of the keys of all
/// dictionaries around an entry, so that a few long keys can make many long names. The networks of this library need less than a tenth.
const NAMES: u64 = 1 << 20;

/// How a ZIP archive begins: with an entry, or with the end of an empty directory.
const ZIP_MAGIC: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// Where the header of a TAR archive has its magic number.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// The number of bytes by which a pickle may be larger than its file, because small pickles compress well.
const SLACK: u64 = 1 << 20;

/// The number of bytes by which an entry may be larger than five quarters of its file. PyTorch compresses no entries, and other programs
/// gain a tenth with weights. The reader decompresses an entry from the beginning to where a tensor ends, into memory that it doubles
/// whenever it is full.
const UNFOLDED: u64 = 16 << 20;

const OLD_ARCHIVE: &str =
    "it is a TAR archive from before PyTorch 0.1.10: save it again with a newer PyTorch";

pub(super) fn open(path: &Path, length: u64) -> Result<Checkpoint, ModelError> {
    inspect(path, length)?;
    let unusable = |error: PytorchError| unusable(path, error);
    let tree = PytorchReader::read_pickle_data(path, None).map_err(unusable)?;
    let limit = NAMES + length / 2;
    let mut outline = Outline { names: limit, ..Outline::default() };
    if outline.walk(&tree, &mut String::new()).is_err() {
        let reason = format!("the full names of its entries take more than {limit} bytes");
        return Err(ModelError::NotACheckpoint { path: path.to_owned(), reason });
    }
    drop(tree);
    let reader = PytorchReader::new(path).map_err(unusable)?;
    let format = match reader.metadata().format_type {
        FileFormat::Zip => WeightFormat::PytorchZip,
        FileFormat::Legacy | FileFormat::Pickle => WeightFormat::PytorchLegacy,
        FileFormat::Tar => {
            return Err(ModelError::NotACheckpoint { path: path.to_owned(), reason: OLD_ARCHIVE.to_owned() });
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
        layers: outline.layers,
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
    file.by_ref().take(TAR_MAGIC.end as u64).read_to_end(&mut head).map_err(read)?;
    let limits = Limits {
        instructions: INSTRUCTIONS + length / BYTES_PER_INSTRUCTION,
        bytes: OBJECTS.saturating_add(length),
    };
    // The reader's own test, in its order: any other `PK` may be the beginning of the first name in a TAR archive.
    let found = if ZIP_MAGIC.iter().any(|magic| head.starts_with(magic)) {
        // The reader of PyTorch files uses the same crate, so both find the same pickle. What is unreadable is unreadable for it too, and
        // it reports the reason.
        let Ok(mut archive) = ZipArchive::new(BufReader::new(file)) else { return Ok(()) };
        let largest = archive::largest_entry(&archive);
        if largest > (length + length / 4).saturating_add(UNFOLDED) {
            return Err(unusable(format!("an entry unfolds to {largest} bytes, the file has {length}")));
        }
        let Some(name) = archive::pickle_name(&archive) else { return Ok(()) };
        let Ok(pickle) = archive.by_name(&name) else { return Ok(()) };
        let size = pickle.size();
        if size > length + SLACK {
            return Err(unusable(format!("its pickle unfolds to {size} bytes, the file has {length}")));
        }
        scan(&mut BufReader::new(pickle), 1, limits)
    } else if head.get(TAR_MAGIC) == Some(&b"ustar"[..]) {
        // Refused before it is read: an archive can declare any amount of zeros.
        return Err(unusable(OLD_ARCHIVE.to_owned()));
    } else if let Some(pickles) = pickles(&head[..head.len().min(64)]) {
        file.rewind().map_err(read)?;
        scan(&mut BufReader::new(file), pickles, limits)
    } else {
        return Ok(());
    };
    found.map_err(|objection| match objection {
        Objection::Refused(name) => ModelError::RefusedPickle { path: path.to_owned(), name },
        Objection::Truncated => unusable("it is truncated".to_owned()),
        Objection::TooMany(limit) => unusable(format!("its pickle builds more than {limit} objects")),
        Objection::TooLarge(limit) => unusable(format!(
            "its pickle builds objects of more than {limit} bytes, by repeating some of them"
        )),
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
    // Some of these messages quote the file.
    ModelError::NotACheckpoint { path: path.to_owned(), reason: shortened(&reason, LONGEST_REASON) }
}

const LONGEST_REASON: usize = 400;

/// The type of a tensor in Burn's outline of a pickle.
const TENSOR: &str = "torch.Tensor";

/// The structure of a pickle: its dictionaries and objects.
#[derive(Default)]
struct Outline {
    dictionaries: BTreeSet<String>,
    layers: BTreeSet<String>,
    objects: BTreeMap<String, String>,
    /// The bytes that names may still take.
    names: u64,
}

/// What a value contains.
#[derive(Clone, Copy)]
struct Contents {
    /// Whether there is a tensor in it.
    tensors: bool,
    /// Whether it can be a part of a pickled module: a tensor, or a dictionary of such parts whose keys have no dots. The keys of a
    /// `state_dict()` have dots, and other dictionaries of a checkpoint contain numbers or text.
    module: bool,
}

/// The names take more bytes than they may.
struct LongNames;

impl Outline {
    /// Walks a value at a dotted path.
    fn walk(&mut self, value: &PickleValue, path: &mut String) -> Result<Contents, LongNames> {
        match value {
            PickleValue::Dict(items) => {
                let mut contents = Contents { tensors: false, module: true };
                for (key, item) in items {
                    let inside = self.step(key, item, path)?;
                    contents.tensors |= inside.tensors;
                    contents.module &= inside.module && !key.contains('.');
                }
                if contents.module {
                    for key in items.keys() {
                        let length = append(path, key);
                        self.layers.extend(self.dictionaries.take(path.as_str()));
                        path.truncate(length);
                    }
                }
                if contents.tensors {
                    self.pay(path.len())?;
                    self.dictionaries.insert(path.clone());
                }
                Ok(contents)
            }
            PickleValue::List(items) => {
                let mut contents = Contents { tensors: false, module: false };
                for (index, item) in items.iter().enumerate() {
                    contents.tensors |= self.step(&index.to_string(), item, path)?.tensors;
                }
                Ok(contents)
            }
            PickleValue::Unsupported(kind) => {
                self.pay(path.len() + kind.len())?;
                let is_tensor = kind == TENSOR;
                if !is_tensor {
                    self.objects.insert(path.clone(), kind.clone());
                }
                Ok(Contents { tensors: is_tensor, module: is_tensor })
            }
            _ => Ok(Contents { tensors: false, module: false }),
        }
    }

    fn step(&mut self, key: &str, item: &PickleValue, path: &mut String) -> Result<Contents, LongNames> {
        let length = append(path, key);
        let contents = self.walk(item, path);
        path.truncate(length);
        contents
    }

    /// Takes the bytes of a name from those that are left.
    fn pay(&mut self, bytes: usize) -> Result<(), LongNames> {
        self.names = self.names.checked_sub(bytes as u64).ok_or(LongNames)?;
        Ok(())
    }
}

/// Appends a key to a dotted path; returns the length of the path before.
fn append(path: &mut String, key: &str) -> usize {
    let length = path.len();
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor() -> PickleValue {
        PickleValue::Unsupported(TENSOR.to_owned())
    }

    fn dictionary<const N: usize>(items: [(&str, PickleValue); N]) -> PickleValue {
        PickleValue::Dict(items.into_iter().map(|(key, item)| (key.to_owned(), item)).collect())
    }

    /// A pickled module with two layers, one of which has no parameters.
    fn module() -> PickleValue {
        let layers = [("conv1", dictionary([("weight", tensor())])), ("relu", dictionary([]))];
        dictionary([("layer1", dictionary(layers)), ("mean", tensor())])
    }

    #[test]
    fn layers_of_a_module_are_no_dictionaries_of_the_file() {
        let state = || dictionary([("conv1.weight", tensor()), ("mean", tensor())]);
        let epoch = || PickleValue::Int(3);
        let cases: [(PickleValue, &[&str], &[&str]); 6] = [
            (module(), &[""], &["layer1", "layer1.conv1"]),
            (dictionary([("module", module())]), &[""], &["module", "module.layer1", "module.layer1.conv1"]),
            (
                dictionary([("net", module()), ("epoch", epoch())]),
                &["", "net"],
                &["net.layer1", "net.layer1.conv1"],
            ),
            (state(), &[""], &[]),
            (dictionary([("model", state()), ("ema", state())]), &["", "ema", "model"], &[]),
            (
                dictionary([("all", PickleValue::List(vec![module()])), ("none", dictionary([]))]),
                &["", "all.0"],
                &["all.0.layer1", "all.0.layer1.conv1"],
            ),
        ];
        for (value, dictionaries, layers) in cases {
            let mut outline = Outline { names: 1000, ..Outline::default() };
            assert!(outline.walk(&value, &mut String::new()).is_ok_and(|contents| contents.tensors));
            assert!(outline.dictionaries.iter().eq(dictionaries), "{value:?}: {:?}", outline.dictionaries);
            assert!(outline.layers.iter().eq(layers), "{value:?}: {:?}", outline.layers);
        }
    }
}

//! What the fuzz targets share: files in a folder of the process, and the limits that every reader keeps.
//!
//! A target fails if a reader panics, takes too long, allocates more than four times the bytes of its files and 64 MiB, or gives a message
//! that is empty or acts on a terminal.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burn::tensor::Device;
use tempfile::TempDir;
use twins_data::{DataError, ImageDataset};
use twins_experiment::ReportSources;
use twins_models::{
    Architecture, ImportOptions, ModelCard, ModelConfig, Net, load_model, load_pretrained, save_model,
};
use twins_testing::{Counting, allowance, check_message, peak};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The folder of this process; `.ci/fuzz` removes it at the end.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder can be made"));

/// A path in the folder of this process.
pub fn path(name: &str) -> PathBuf {
    FOLDER.path().join(name)
}

/// Writes a file of the folder, and the folders around it.
pub fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = path(name);
    fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder can be made");
    fs::write(&path, bytes).expect("a file can be written");
    path
}

/// What a reader returns, which may take the memory for files of so many bytes.
pub fn within<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    let (outcome, allocated) = peak(read);
    assert!(allocated <= allowance(bytes), "{allocated} bytes for {bytes} bytes of files");
    outcome
}

/// Checks the message of an error.
pub fn refused(error: &impl Display) {
    check_message(&error.to_string());
}

/// Reads weights in every way.
pub fn weights(bytes: &[u8]) {
    let (path, device) = (write("weights.pt", bytes), Device::flex());
    let config = ModelConfig::new(Architecture::MnistCnn, 10);
    // Whatever of the file has the name and shape of an entry of the network is read.
    for options in [ImportOptions::new(), ImportOptions::new().with_allow("*")] {
        match within(bytes.len(), || load_pretrained(&config, &path, &options, &device)) {
            Ok((net, report)) => {
                check_message(&report.to_string());
                if !report.mapped.is_empty() && one_in_eight(bytes) {
                    save_twice(&net);
                }
            }
            Err(error) => refused(&error),
        }
    }
    match within(bytes.len(), || ModelCard::read(&path)) {
        Ok(card) => {
            let value = serde_json::to_value(&card).expect("a card is plain data");
            assert_eq!(serde_json::from_value::<ModelCard>(value).expect("it was written"), card);
        }
        Err(error) => refused(&error),
    }
}

/// Chooses inputs for a check that takes long. What is chosen depends on the input alone, so that a failure can be repeated.
fn one_in_eight(bytes: &[u8]) -> bool {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) % 8 == 0
}

/// A network that is saved is read back, and saved again as it was.
fn save_twice(net: &Net) {
    let classes = (0..net.num_classes()).map(|class| class.to_string()).collect();
    let card = ModelCard::new(net, classes).expect("the names differ");
    let [first, second] = ["first.safetensors", "second.safetensors"].map(path);
    save_model(&first, net, &card).expect("a model can be saved");
    let (again, card) = load_model(&first, &Device::flex()).expect("it was saved");
    save_model(&second, &again, &card).expect("a model can be saved");
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
}

/// Opens a data set and reads all its samples, for files of so many bytes.
pub fn images<D: ImageDataset>(bytes: usize, open: impl FnOnce() -> Result<D, DataError>) {
    within(bytes, || {
        let dataset = match open() {
            Ok(dataset) => dataset,
            Err(error) => return refused(&error),
        };
        for index in 0..dataset.len() {
            match dataset.get(index) {
                Ok(sample) => {
                    assert_eq!(sample.image.shape, dataset.image_shape());
                    assert_eq!(sample.image.pixels.len(), sample.image.shape.iter().product::<usize>());
                    assert!(sample.label < dataset.classes().len());
                }
                Err(error) => refused(&error),
            }
        }
    });
}

/// Writes the report of a directory with a study, for files of so many bytes.
pub fn report_of_study(bytes: usize, directory: &Path) {
    let results =
        within(bytes, || ReportSources::find(&[directory.to_owned()])?.write(&directory.join("report.html")));
    match results {
        Ok(results) => results.iter().for_each(|results| check_message(&results.to_table())),
        Err(error) => refused(&error),
    }
}

/// A file that the library has written, with changes: four bytes for each say how and where. Readers that first compare a checksum are not
/// passed by bytes that are made up.
pub fn edited(whole: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for edit in edits.chunks_exact(4) {
        if bytes.is_empty() {
            break;
        }
        let at = usize::from(u16::from_le_bytes([edit[1], edit[2]])) % bytes.len();
        let end = (at + 1 + usize::from(edit[3])).min(bytes.len());
        match edit[0] % 5 {
            0 => bytes[at] = edit[3],
            1 => bytes.insert(at, edit[3]),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.extend_from_within(at..end),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// A first byte that chooses, and the rest.
pub fn choice(bytes: &[u8]) -> (usize, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest))
}

/// Removes what an earlier input has left.
pub fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

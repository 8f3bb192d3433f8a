use std::path::{Path, PathBuf};

use burn_dataset::Dataset;

use crate::datasets::class_names::refuse_duplicates;
use crate::datasets::image_dataset::ImageDataset;
use crate::datasets::part::Part;
use crate::error::DataError;
use crate::file::{find, io_error, read};
use crate::formats::cifar::python::{read_batch, read_names};
use crate::formats::cifar::variant::{CifarVariant, Form};
use crate::images::image::{Image, LabelledImage};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// CIFAR-10 or CIFAR-100 in the published binary or Python form, held in memory.
///
/// A binary record consists of the label (CIFAR-100: the coarse and the fine label) and 3072 bytes of red, green and
/// blue planes. The Python form is a pickled dictionary with the same bytes in a NumPy matrix; the pickle is parsed and
/// never executed. Format: A. Krizhevsky, "The CIFAR-10 dataset", sections "Dataset layout" and "Binary version". Class
/// names are read from the file that is published with the data, if it exists.
///
/// # Shapes
/// - images: `[3, 32, 32]`
#[derive(Debug, Clone)]
pub struct CifarDataset {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
}

impl CifarDataset {
    /// Reads a part from a folder, which either holds the files or is the folder in which the archive was unpacked.
    ///
    /// The names of the files determine the form. If both forms are present, the binary form is read.
    ///
    /// # Errors
    /// Files that are missing or damaged, pickles that contain anything but arrays of bytes, labels without a class, and
    /// classes with the same name.
    pub fn open(folder: impl AsRef<Path>, variant: CifarVariant, part: Part) -> Result<Self, DataError> {
        if part == Part::Validation {
            return Err(DataError::MissingPart { folder: folder.as_ref().to_path_buf(), part });
        }
        let (folder, form) = locate(folder.as_ref(), variant, part)?;
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for name in variant.files(form, part) {
            let file = find(&folder, &[&name])?;
            match form {
                Form::Binary => {
                    let bytes = read(&file)?;
                    check(&file, &bytes, variant)?;
                    for record in bytes.chunks_exact(variant.label_bytes() + PIXELS) {
                        let (label, image) = record.split_at(variant.label_bytes());
                        labels.push(label[label.len() - 1]);
                        pixels.extend_from_slice(image);
                    }
                }
                Form::Python => {
                    let (images, found) = read_batch(&file, variant.entries().0, PIXELS, variant.classes())?;
                    labels.extend(found);
                    pixels.extend(images);
                }
            }
        }
        let classes = match find(&folder, &[variant.class_file(form)]) {
            Ok(file) => read_classes(&file, variant, form)?,
            Err(_) => variant.default_classes(),
        };
        Ok(Self { pixels, labels, classes })
    }
}

/// Finds the folder that holds a part's files, and their form.
fn locate(folder: &Path, variant: CifarVariant, part: Part) -> Result<(PathBuf, Form), DataError> {
    // A folder that cannot be listed would otherwise be reported as one without the files.
    std::fs::read_dir(folder).map_err(io_error(folder))?;
    for form in [Form::Binary, Form::Python] {
        for candidate in [folder.join(variant.subfolder(form)), folder.to_path_buf()] {
            if variant.files(form, part).iter().any(|name| candidate.join(name).is_file()) {
                return Ok((candidate, form));
            }
        }
    }
    let names = [Form::Binary, Form::Python].into_iter().flat_map(|form| variant.files(form, part));
    Err(DataError::MissingFile { folder: folder.to_path_buf(), names: names.collect() })
}

fn check(file: &Path, bytes: &[u8], variant: CifarVariant) -> Result<(), DataError> {
    let (label_bytes, classes) = (variant.label_bytes(), variant.classes());
    let size = label_bytes + PIXELS;
    if bytes.is_empty() || !bytes.len().is_multiple_of(size) {
        return Err(DataError::WrongSize {
            path: file.to_path_buf(),
            expected: (bytes.len().div_ceil(size).max(1) * size) as u64,
            declared: format!("a whole number of records of {size} bytes"),
            found: bytes.len() as u64,
        });
    }
    let mut labels = bytes.chunks_exact(size).map(|record| usize::from(record[label_bytes - 1]));
    match labels.clone().position(|label| label >= classes) {
        None => Ok(()),
        Some(index) => {
            let label = labels.nth(index).expect("a label was found there");
            Err(DataError::LabelOutOfRange { path: file.to_path_buf(), index, label, classes })
        }
    }
}

fn read_classes(file: &Path, variant: CifarVariant, form: Form) -> Result<Vec<String>, DataError> {
    let expected = variant.classes();
    match form {
        Form::Binary => {
            let text = read(file)?;
            let text = String::from_utf8_lossy(&text);
            let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
            // Counted before they are copied, because there may be any number.
            let found = names.clone().count();
            if found != expected {
                return Err(DataError::ClassCount { path: file.to_path_buf(), expected, found });
            }
            let names: Vec<String> = names.map(str::to_owned).collect();
            refuse_duplicates(&names, Some(file))?;
            Ok(names)
        }
        Form::Python => read_names(file, variant.entries().1, expected),
    }
}

impl Dataset<LabelledImage, DataError> for CifarDataset {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        let label = self.labels[index].into();
        let pixels = self.pixels[index * PIXELS..][..PIXELS].to_vec();
        Ok(LabelledImage { image: Image { shape: SHAPE, pixels }, label })
    }

    fn len(&self) -> usize {
        self.labels.len()
    }
}

impl ImageDataset for CifarDataset {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        SHAPE
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.labels[index].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(labels: &[u8], first_pixel: u8) -> Vec<u8> {
        let mut record = labels.to_vec();
        record.push(first_pixel);
        record.resize(labels.len() + PIXELS, 0);
        record
    }

    #[test]
    fn reads_cifar10() {
        let folder = tempfile::tempdir().unwrap();
        let unpacked = folder.path().join("cifar-10-batches-bin");
        std::fs::create_dir(&unpacked).unwrap();
        for batch in 1..=5u8 {
            let path = unpacked.join(format!("data_batch_{batch}.bin"));
            std::fs::write(path, [record(&[batch], batch), record(&[0], 0)].concat()).unwrap();
        }
        let dataset = CifarDataset::open(folder.path(), CifarVariant::Cifar10, Part::Train).unwrap();
        assert_eq!(dataset.len(), 10);
        assert_eq!(dataset.labels().unwrap(), [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
        let sample = dataset.get(8).unwrap();
        assert_eq!((sample.label, sample.image.pixels[0], sample.image.pixels.len()), (5, 5, PIXELS));
        assert_eq!(dataset.classes()[9], "truck");
    }

    #[test]
    fn reads_the_fine_labels_and_names_of_cifar100() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("test.bin"), record(&[3, 99], 1)).unwrap();
        let names: String = (0..100).map(|class| format!("n{class}\n")).collect();
        std::fs::write(folder.path().join("fine_label_names.txt"), names).unwrap();
        let dataset = CifarDataset::open(folder.path(), CifarVariant::Cifar100, Part::Test).unwrap();
        assert_eq!(dataset.get(0).unwrap().label, 99);
        assert_eq!(dataset.classes()[99], "n99");

        std::fs::write(folder.path().join("fine_label_names.txt"), "same\n".repeat(100)).unwrap();
        let error = CifarDataset::open(folder.path(), CifarVariant::Cifar100, Part::Test).unwrap_err();
        assert!(
            matches!(&error, DataError::DuplicateClass { name, path: Some(_) } if name == "same"),
            "{error}"
        );

        std::fs::write(folder.path().join("fine_label_names.txt"), "one\ntwo\n").unwrap();
        let error = CifarDataset::open(folder.path(), CifarVariant::Cifar100, Part::Test).unwrap_err();
        assert!(matches!(error, DataError::ClassCount { expected: 100, found: 2, .. }), "{error}");
    }

    #[test]
    fn refuses_damaged_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test_batch.bin");
        let open = || CifarDataset::open(folder.path(), CifarVariant::Cifar10, Part::Test).unwrap_err();
        assert!(matches!(open(), DataError::MissingFile { .. }));

        std::fs::write(&path, &record(&[0], 0)[..3000]).unwrap();
        let error = open();
        assert!(matches!(error, DataError::WrongSize { expected: 3073, found: 3000, .. }), "{error}");
        assert!(error.to_string().contains("test_batch.bin"), "{error}");

        std::fs::write(&path, b"").unwrap();
        assert!(matches!(open(), DataError::WrongSize { found: 0, .. }));

        std::fs::write(&path, [record(&[0], 0), record(&[10], 0)].concat()).unwrap();
        let error = open();
        assert!(matches!(error, DataError::LabelOutOfRange { index: 1, label: 10, .. }), "{error}");
    }
}

use std::path::{Path, PathBuf};

use twins_files::{one_line, shortened};

use crate::datasets::part::Part;
use crate::formats::listed::fault::ListFault;
use crate::formats::pickle::fault::PickleFault;
use crate::splits::grouping::Grouping;

/// Errors of data on disk, and of requests to a data set.
///
/// Every message names the file or value at fault and a remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused to open, list or read a path.
    #[error("cannot read {}: {source}; check that it exists and that you may read it", shown(path))]
    Io {
        /// The path that could not be read.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },

    /// The folder has none of the file names that the data set may use.
    #[error("{} holds none of {}; give the folder that has the data set's files", shown(folder), names.join(", "))]
    MissingFile {
        /// The folder that was searched.
        folder: PathBuf,
        /// The names that were looked for.
        names: Vec<String>,
    },

    /// The data set does not have the requested part.
    #[error(
        "{} has no images of the {part} part; use another part, or split it off the training part",
        shown(folder)
    )]
    MissingPart {
        /// The folder of the data set, the custom list, or the name of the built-in data.
        folder: PathBuf,
        /// The requested part.
        part: Part,
    },

    /// A line of a list of images is wrong.
    #[error("line {line} of {}: {fault}", shown(path))]
    List {
        /// The list.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: ListFault,
    },

    /// A list that the archive provides as a MATLAB file has not been converted to text.
    #[error(
        "{} does not exist; the archive has its lists as MATLAB files, which have to be converted to text, a path a line. In Python: \
         import scipy.io; open(\"NAME.txt\", \"w\").writelines(row[0][0] + \"\\n\" for row in \
         scipy.io.loadmat(\"NAME.mat\")[\"file_list\"]), for NAME train_list and test_list",
        shown(text)
    )]
    MatlabList {
        /// The text file that is missing.
        text: PathBuf,
    },

    /// A file does not begin with its format's magic number.
    #[error(
        "{} begins with {found:#010x} where an IDX file of {content} has {expected:#010x}; it is another kind of file",
        shown(path)
    )]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// The expected content of the file.
        content: &'static str,
        /// The magic number of the expected content.
        expected: u32,
        /// The number found.
        found: u32,
    },

    /// A file is shorter or longer than its header declares.
    #[error(
        "{} should hold {expected} bytes ({declared}) but holds {found}; it is truncated or damaged: download it again",
        shown(path)
    )]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// The number of bytes that the header declares, after decompression.
        expected: u64,
        /// The origin of that number.
        declared: String,
        /// The number of bytes found; one more than expected means "more".
        found: u64,
    },

    /// The compressed stream of a gzip file is damaged or ends early.
    #[error(
        "{} is a damaged or truncated gzip file: {source}, after {found} decompressed bytes of {expected}; download it again",
        shown(path)
    )]
    Gzip {
        /// The file.
        path: PathBuf,
        /// The number of decompressed bytes expected.
        expected: String,
        /// The number of bytes that could be decompressed.
        found: u64,
        /// The error of the decompressor.
        source: std::io::Error,
    },

    /// A header declares far more data than the file could reasonably hold.
    #[error(
        "{} ({file_size} bytes) declares {declared} bytes of content, more than can be read within {limit} bytes of memory (four times the file's size and 64 MiB); it is damaged, or made to exhaust memory, or needs to be made smaller first",
        shown(path)
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The file's size on disk.
        file_size: u64,
        /// The size declared in its header.
        declared: u64,
        /// The limit that follows from the file's size.
        limit: u64,
    },

    /// The header declares no images, or images without pixels.
    #[error("{} declares {count} images of {height} x {width} pixels: there is nothing to read", shown(path))]
    NoPixels {
        /// The file.
        path: PathBuf,
        /// The declared number of images.
        count: usize,
        /// The declared height in pixels.
        height: usize,
        /// The declared width in pixels.
        width: usize,
    },

    /// The image file and the label file of a data set do not belong together.
    #[error(
        "{} holds {images} images but {} holds {labels} labels; take both files from the same download",
        shown(image_file),
        shown(label_file)
    )]
    LabelCount {
        /// The file of images.
        image_file: PathBuf,
        /// The number of images.
        images: usize,
        /// The file of labels.
        label_file: PathBuf,
        /// The number of labels.
        labels: usize,
    },

    /// A label names a class that does not exist.
    #[error(
        "label {label} of sample {index} in {} is not below the number of classes, {classes}",
        shown(path)
    )]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// The sample's position in the file, from 0.
        index: usize,
        /// The label found.
        label: usize,
        /// The number of classes.
        classes: usize,
    },

    /// A list of class names is shorter or longer than the number of classes.
    #[error(
        "{} lists {found} class names where the data set has {expected}; take it from the same download",
        shown(path)
    )]
    ClassCount {
        /// The file.
        path: PathBuf,
        /// The number of classes.
        expected: usize,
        /// The number of names found.
        found: usize,
    },

    /// A pickle is damaged, or refers to something that is not data.
    #[error("{} cannot be read: {fault}; download it again from the publisher", shown(path))]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: PickleFault,
    },

    /// A pickled dictionary lacks an entry, or the entry has the wrong type.
    #[error(
        "{} has no entry \"{entry}\" that is {expected}; give the folder that has the data set's files",
        shown(path)
    )]
    MissingEntry {
        /// The file.
        path: PathBuf,
        /// The entry's name.
        entry: &'static str,
        /// The expected content of the entry.
        expected: &'static str,
    },

    /// A folder has no sub-folders that could be classes.
    #[error("{} has no sub-folders; an image folder has one sub-folder of images per class", shown(path))]
    NoClasses {
        /// The folder.
        path: PathBuf,
    },

    /// A class folder has no images.
    #[error("the class folder {} holds no images; put images there or remove it", shown(path))]
    EmptyClass {
        /// The class folder.
        path: PathBuf,
    },

    /// Two classes have the same name (surrounding white space is ignored).
    #[error(
        "{}two classes are both named \"{}\"; rename one",
        path.as_deref().map(|path| format!("{}: ", shown(path))).unwrap_or_default(),
        name_of(name)
    )]
    DuplicateClass {
        /// The name.
        name: String,
        /// The file or the folder that the names come from; `None` if a program gave them.
        path: Option<PathBuf>,
    },

    /// A class folder is not in the requested list of classes.
    #[error("the class folder {} is not among the {} classes expected ({})", shown(path), classes.len(), abridged(classes))]
    UnknownClass {
        /// The class folder.
        path: PathBuf,
        /// The classes expected.
        classes: Vec<String>,
    },

    /// A file in a class folder is not an image of a known format.
    #[error(
        "{} is not a PNG, JPEG, WebP, PPM or PGM image; remove it, or open the folder with NonImages::Skip (--skip-non-images)",
        shown(path)
    )]
    NotAnImage {
        /// The file.
        path: PathBuf,
    },

    /// An image file has a valid signature, but its content cannot be decoded.
    #[error(
        "{} cannot be decoded: {}; the file is damaged: replace or remove it",
        shown(path), one_line(&source.to_string())
    )]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// The error of the decoder.
        source: ::image::ImageError,
    },

    /// A JPEG file ends before its end-of-image marker.
    #[error(
        "{} is a truncated JPEG: {found} bytes and no end-of-image marker; replace or remove it",
        shown(path)
    )]
    TruncatedJpeg {
        /// The file.
        path: PathBuf,
        /// The file's size in bytes.
        found: u64,
    },

    /// An image differs in size from the first image of its data set.
    #[error(
        "{} is {} x {} pixels where the data set's images are {} x {} (width x height); resize it, or open the folder with a Preprocessing (--preprocessing 256/224)",
        shown(path), found[2], found[1], expected[2], expected[1]
    )]
    MixedSizes {
        /// The file.
        path: PathBuf,
        /// The shape of this image, `[channels, height, width]`.
        found: [usize; 3],
        /// The shape of the data set's images.
        expected: [usize; 3],
    },

    /// A data set returned an image whose shape is not the data set's, or whose number of bytes does not match its
    /// shape.
    #[error(
        "sample {index} has shape {found:?} and {pixels} bytes where the data set has shape {expected:?}; its data set is faulty"
    )]
    WrongShape {
        /// The sample's index.
        index: usize,
        /// The shape found.
        found: [usize; 3],
        /// The number of bytes found.
        pixels: usize,
        /// The data set's shape.
        expected: [usize; 3],
    },

    /// The requested sample does not exist.
    #[error("sample {index} was asked for, but the data set has {len} samples")]
    IndexOutOfRange {
        /// The index.
        index: usize,
        /// The number of samples.
        len: usize,
    },

    /// The number of values does not match the shape and the number of labels.
    #[error(
        "{found} values are not {labels} images of shape {shape:?} (channels, height, width), one for each of {labels} labels; \
         give that many values, channels first"
    )]
    ValueCount {
        /// The number of values found.
        found: usize,
        /// The shape of an image.
        shape: [usize; 3],
        /// The number of labels.
        labels: usize,
    },

    /// A value of an image is outside [0, 1].
    #[error(
        "sample {index} has the value {value}, which is not within [0, 1]; divide 8-bit values by 255, and leave input \
         normalisation to the model"
    )]
    ValueOutOfRange {
        /// The sample's index.
        index: usize,
        /// The value.
        value: f32,
    },

    /// A label is negative, or has no class.
    #[error("the label of sample {index} is {label}; labels are numbers from 0{}", below(*classes))]
    LabelWithoutClass {
        /// The sample's index.
        index: usize,
        /// The label.
        label: i64,
        /// The number of classes, if it is known.
        classes: Option<usize>,
    },

    /// A custom data set reports an error of its own; see [`DataError::custom`].
    #[error("the data set reports: {source}")]
    Custom {
        /// The data set's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A requested batch, limit or subset has no samples.
    #[error("{what} of no samples was asked for; at least one is needed")]
    NoSamples {
        /// What has no samples.
        what: &'static str,
    },

    /// The text is not a valid limit.
    #[error(
        "{given:?} is not a limit; give a number of images, at least 1, such as 1000 for a draw of each class in proportion, or \
         first:1000 for the first ones"
    )]
    InvalidLimit {
        /// The given text.
        given: String,
    },

    /// A fraction is not strictly between 0 and 1.
    #[error("the validation fraction is {fraction}; it must lie strictly between 0 and 1")]
    InvalidFraction {
        /// The fraction given.
        fraction: f64,
    },

    /// There are too few samples to split.
    #[error(
        "{samples} samples in {classes} classes are too few to split off a validation or test set; every class keeps at least one"
    )]
    TooFewToSplit {
        /// The number of samples.
        samples: usize,
        /// The number of classes that have samples.
        classes: usize,
    },

    /// Groups of samples cannot be formed from file names, because a sample has no file name.
    #[error(
        "validation.groups is {grouping}, but sample {index} has no file name to form a group of; use data of image files \
         (folder:DIR, gtsrb:DIR, list:FILE and so on; a custom data set implements ImageDataset::name), or set \
         validation.groups to \"none\""
    )]
    NoSampleName {
        /// The grouping.
        grouping: Grouping,
        /// The first sample without a name.
        index: usize,
    },

    /// Every sample is the only one in its group, so a split by groups would be a split by samples.
    #[error(
        "validation.groups is {grouping}, but it leaves each of the {samples} images alone in its group, the first being \
         {}; give what follows the part of a file name that related images have in common, or set validation.groups to \
         \"none\"",
        name_of(name)
    )]
    GroupsOfOne {
        /// The grouping.
        grouping: Grouping,
        /// The number of samples, and of groups.
        samples: usize,
        /// The name of the first sample's file.
        name: String,
    },

    /// A class has only one group, which cannot be used for both training and validation.
    #[error(
        "validation.groups is {grouping}, but all {samples} images of class \"{}\" are in one group, \"{}\" (so it is \
         in {affected} of {classes} classes); a class needs a group to train on and one to validate on: give other text, add \
         images from other recordings, leave the class out, or set validation.groups to \"none\"",
        name_of(class),
        name_of(group)
    )]
    OneGroup {
        /// The grouping.
        grouping: Grouping,
        /// The name of the first such class.
        class: String,
        /// The name of its group.
        group: String,
        /// The number of its samples.
        samples: usize,
        /// The number of classes with a single group.
        affected: usize,
        /// The number of classes that have samples.
        classes: usize,
    },

    /// A setting has an invalid value.
    #[error("{name} is {}; it must be {range}", one_line(value))]
    InvalidSetting {
        /// The setting.
        name: &'static str,
        /// The value given.
        value: String,
        /// The values allowed.
        range: &'static str,
    },

    /// The text is not a data source.
    #[error(
        "unknown data source \"{}\"; known are builtin, builtin:source, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, folder:DIR, caltech256:DIR, cub200:DIR, dogs:DIR, dtd:DIR (dtd@2:DIR to dtd@10:DIR for its other splits), gtsrb:DIR, pets:DIR and list:FILE",
        one_line(given)
    )]
    UnknownSource {
        /// The text given.
        given: String,
    },
}

impl DataError {
    /// Wraps an error of a custom data set, which stays available as [`source`](std::error::Error::source) and through
    /// [`downcast_ref`](std::error::Error#method.downcast_ref).
    ///
    /// ```
    /// use std::error::Error;
    /// use twins_data::DataError;
    ///
    /// let error = "one".parse::<u8>().map_err(DataError::custom).unwrap_err();
    /// assert_eq!(error.to_string(), "the data set reports: invalid digit found in string");
    /// assert!(error.source().unwrap().is::<std::num::ParseIntError>());
    /// ```
    pub fn custom(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Custom { source: error.into() }
    }
}

/// The end of a range up to the last class.
fn below(classes: Option<usize>) -> String {
    classes.map_or_else(String::new, |classes| format!(" and below the number of classes, {classes}"))
}

/// A path without characters that act on a terminal, which names in an archive may have.
fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy()).into_owned()
}

/// The name of a class, of a group or of a file.
fn name_of(name: &str) -> String {
    const LONGEST: usize = 100;
    shortened(name, LONGEST)
}

fn abridged(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).map(|name| name_of(name)).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown}, …") } else { shown }
}

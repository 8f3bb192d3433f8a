//! Image data sets for training and attacking Burn classifiers.
//!
//! Every reader is an [`ImageDataset`]: a [`burn_dataset::Dataset`] of [`LabelledImage`]s that also knows its
//! class names and the shape of its images. Pixels stay bytes until [`collate`] makes a [`Batch`] of them:
//! float32, `[batch, channels, height, width]`, in [0, 1]. Input normalisation belongs to the model, so that
//! epsilon and step size of an attack mean the same everywhere.
//!
//! | reader | what it reads |
//! |---|---|
//! | [`MnistDataset`] | MNIST and Fashion-MNIST IDX files, plain or gzip |
//! | [`CifarDataset`] | CIFAR-10 and CIFAR-100 in their published binary and Python forms |
//! | [`FolderDataset`] | one sub-folder per class; decoded when asked for |
//! | [`ListedDataset`] | images that list files name, in the layout of CUB-200, DTD, Oxford Pets and others, or a custom one |
//! | [`BuiltinDataset`] | two tasks drawn by the program itself: letters and digits |
//! | [`TensorDataset`] | tensors or vectors of a program |
//!
//! [`DataSource`] is the command-line form of all of them.
//!
//! ```
//! use twins_data::{BuiltinDataset, Dataset, Part, Task, collate};
//!
//! # fn main() -> Result<(), twins_data::DataError> {
//! let digits = BuiltinDataset::new(Task::Target, Part::Train, 100, 0);
//! assert_eq!(digits.len(), 100);
//! let batch = collate(&digits, &[0, 1, 2, 3], None, &burn::tensor::Device::flex())?;
//! assert_eq!(batch.images.dims(), [4, 3, 32, 32]);
//! # Ok(())
//! # }
//! ```

mod augmentation;
mod batch;
mod builtin;
mod cache;
mod cifar;
mod cifar_python;
mod dataset;
mod decode;
mod decode_cost;
mod draws;
mod erasing;
mod error;
mod file;
mod folder;
mod framing;
mod idx;
mod image;
mod image_files;
mod jpeg_end;
mod limit;
mod listed;
mod mnist;
mod pickle;
mod planes;
mod resize;
mod resized_crop;
mod source;
mod split;
mod subset;
mod tensor_dataset;

pub use augmentation::Augmentation;
pub use batch::{Batch, collate};
pub use builtin::{BuiltinDataset, Task};
pub use cifar::{CifarDataset, CifarVariant};
pub use dataset::{ImageDataset, Part};
pub use decode::Channels;
pub use erasing::{Cutout, Fill, RandomErasing};
pub use error::DataError;
pub use folder::{FolderConfig, FolderDataset, NonImages};
pub use framing::Framing;
pub use image::{Image, LabelledImage};
pub use limit::Limit;
pub use listed::{ListFault, ListLayout, ListedDataset};
pub use mnist::{FASHION_MNIST_CLASSES, MnistDataset};
pub use pickle::PickleFault;
pub use resized_crop::RandomResizedCrop;
pub use source::DataSource;
pub use split::{Split, split};
pub use subset::Subset;
pub use tensor_dataset::TensorDataset;

// The trait that a custom data set implements beside `ImageDataset`, and the crate with its adaptors.
pub use burn_dataset::{self, Dataset};

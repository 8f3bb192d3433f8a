//! Image data sets for training and attacking Burn classifiers.
//!
//! Every reader is an [`ImageDataset`]: a [`burn_dataset::Dataset`] of [`LabelledImage`]s with class names and one
//! shape for all images. Pixels stay bytes until [`collate`] converts them to a [`Batch`]: float32, `[batch, channels,
//! height, width]`, in [0, 1]. Input normalisation belongs to the model, so that epsilon and step size of an attack
//! have the same meaning for every data set.
//!
//! | reader | what it reads |
//! |---|---|
//! | [`MnistDataset`] | MNIST and Fashion-MNIST IDX files, plain or gzip |
//! | [`CifarDataset`] | CIFAR-10 and CIFAR-100 in their published binary and Python forms |
//! | [`FolderDataset`] | image folders with one sub-folder per class, decoded on access |
//! | [`ListedDataset`] | images named by list files, in the layout of CUB-200, DTD, Oxford Pets and others, or in a custom list |
//! | [`BuiltinDataset`] | two procedurally generated tasks: letters and digits |
//! | [`TensorDataset`] | tensors or vectors in memory |
//!
//! [`DataSource`] selects any reader except [`TensorDataset`] by the text that the command line uses.
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
mod builtin;
mod datasets;
mod draws;
mod error;
mod file;
mod formats;
mod images;
mod source;
mod splits;

pub use augmentation::augment::Augmentation;
pub use augmentation::erasing::{Cutout, Fill, RandomErasing};
pub use augmentation::resized_crop::RandomResizedCrop;
pub use builtin::dataset::BuiltinDataset;
pub use builtin::task::Task;
pub use datasets::batch::{Batch, collate};
pub use datasets::image_dataset::ImageDataset;
pub use datasets::part::Part;
pub use datasets::tensor_dataset::TensorDataset;
pub use error::DataError;
pub use formats::cifar::dataset::CifarDataset;
pub use formats::cifar::variant::CifarVariant;
pub use formats::folder::config::{FolderConfig, NonImages};
pub use formats::folder::dataset::FolderDataset;
pub use formats::listed::dataset::ListedDataset;
pub use formats::listed::fault::ListFault;
pub use formats::listed::layout::ListLayout;
pub use formats::mnist::dataset::{FASHION_MNIST_CLASSES, MnistDataset};
pub use formats::pickle::fault::PickleFault;
pub use images::decode::Channels;
pub use images::image::{Image, LabelledImage};
pub use images::preprocessing::Preprocessing;
pub use source::data_source::DataSource;
pub use splits::grouping::Grouping;
pub use splits::limit::Limit;
pub use splits::split::{Split, split};
pub use splits::subset::Subset;

// The trait that a custom data set implements in addition to `ImageDataset`, and the crate with its adaptors.
pub use burn_dataset::{self, Dataset};

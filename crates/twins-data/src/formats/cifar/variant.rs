use serde::{Deserialize, Serialize};

use crate::datasets::part::Part;

/// One of the two CIFAR data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CifarVariant {
    /// CIFAR-10: ten classes.
    Cifar10,
    /// CIFAR-100: a hundred classes (the fine labels).
    Cifar100,
}

impl CifarVariant {
    pub(super) fn classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100 => 100,
        }
    }

    /// Bytes before the pixels of a record; the label is the last of them. CIFAR-100 puts the coarse label first.
    pub(super) fn label_bytes(self) -> usize {
        match self {
            Self::Cifar10 => 1,
            Self::Cifar100 => 2,
        }
    }

    pub(super) fn subfolder(self, form: Form) -> &'static str {
        match (self, form) {
            (Self::Cifar10, Form::Binary) => "cifar-10-batches-bin",
            (Self::Cifar10, Form::Python) => "cifar-10-batches-py",
            (Self::Cifar100, Form::Binary) => "cifar-100-binary",
            (Self::Cifar100, Form::Python) => "cifar-100-python",
        }
    }

    pub(super) fn files(self, form: Form, part: Part) -> Vec<String> {
        let names = match (self, part) {
            (Self::Cifar10, Part::Train) => (1..=5).map(|batch| format!("data_batch_{batch}")).collect(),
            (Self::Cifar10, Part::Test) => vec!["test_batch".to_owned()],
            (Self::Cifar100, Part::Train) => vec!["train".to_owned()],
            (Self::Cifar100, Part::Test) => vec!["test".to_owned()],
            // Refused earlier: neither data set has a validation part.
            (_, Part::Validation) => Vec::new(),
        };
        let ending = match form {
            Form::Binary => ".bin",
            Form::Python => "",
        };
        names.into_iter().map(|name| name + ending).collect()
    }

    pub(super) fn class_file(self, form: Form) -> &'static str {
        match (self, form) {
            (Self::Cifar10, Form::Binary) => "batches.meta.txt",
            (Self::Cifar10, Form::Python) => "batches.meta",
            (Self::Cifar100, Form::Binary) => "fine_label_names.txt",
            (Self::Cifar100, Form::Python) => "meta",
        }
    }

    /// The entries of the pickled dictionaries that hold the labels and the class names.
    pub(super) fn entries(self) -> (&'static str, &'static str) {
        match self {
            Self::Cifar10 => ("labels", "label_names"),
            Self::Cifar100 => ("fine_labels", "fine_label_names"),
        }
    }

    pub(super) fn default_classes(self) -> Vec<String> {
        match self {
            Self::Cifar10 => {
                ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
                    .map(str::to_owned)
                    .to_vec()
            }
            Self::Cifar100 => (0..100).map(|class| format!("class {class}")).collect(),
        }
    }
}

/// The forms that the data sets are published in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Binary,
    Python,
}

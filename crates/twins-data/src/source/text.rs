//! Conversion of a [`DataSource`] to text and back.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::ser::Error;
use serde::{Serialize, Serializer};

use crate::builtin::task::Task;
use crate::error::DataError;
use crate::formats::cifar::variant::CifarVariant;
use crate::source::data_source::DataSource;

impl FromStr for DataSource {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let unknown = || DataError::UnknownSource { given: text.to_owned() };
        match text.split_once(':') {
            None if text == "builtin" => Ok(Self::Builtin(Task::Target)),
            Some(("builtin", "target")) => Ok(Self::Builtin(Task::Target)),
            Some(("builtin", "source")) => Ok(Self::Builtin(Task::Source)),
            None | Some((_, "")) => Err(unknown()),
            Some((kind, folder)) => {
                let folder = PathBuf::from(folder);
                match kind {
                    "mnist" => Ok(Self::Mnist(folder)),
                    "fashion-mnist" => Ok(Self::FashionMnist(folder)),
                    "cifar10" => Ok(Self::Cifar(CifarVariant::Cifar10, folder)),
                    "cifar100" => Ok(Self::Cifar(CifarVariant::Cifar100, folder)),
                    "folder" => Ok(Self::Folder(folder)),
                    _ => Ok(Self::Listed(kind.parse().map_err(|_| unknown())?, folder)),
                }
            }
        }
    }
}

impl fmt::Display for DataSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(Task::Target) => write!(formatter, "builtin"),
            Self::Builtin(Task::Source) => write!(formatter, "builtin:source"),
            Self::Mnist(folder) => write!(formatter, "mnist:{}", folder.display()),
            Self::FashionMnist(folder) => write!(formatter, "fashion-mnist:{}", folder.display()),
            Self::Cifar(CifarVariant::Cifar10, folder) => write!(formatter, "cifar10:{}", folder.display()),
            Self::Cifar(CifarVariant::Cifar100, folder) => write!(formatter, "cifar100:{}", folder.display()),
            Self::Folder(folder) => write!(formatter, "folder:{}", folder.display()),
            Self::Listed(layout, path) => write!(formatter, "{layout}:{}", path.display()),
        }
    }
}

impl TryFrom<String> for DataSource {
    type Error = DataError;

    fn try_from(text: String) -> Result<Self, DataError> {
        text.parse()
    }
}

impl Serialize for DataSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let path = match self {
            Self::Builtin(_) => None,
            Self::Mnist(path)
            | Self::FashionMnist(path)
            | Self::Cifar(_, path)
            | Self::Folder(path)
            | Self::Listed(_, path) => Some(path),
        };
        // With replacement characters, the text would name another folder.
        if let Some(path) = path.filter(|path| path.to_str().is_none()) {
            let path = path.display();
            return Err(S::Error::custom(format!(
                "the path {path} is not UTF-8 and cannot be saved; rename it"
            )));
        }
        serializer.collect_str(self)
    }
}

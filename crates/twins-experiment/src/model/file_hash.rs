use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::ExperimentError;

/// The size and hash of a file, which identify it after it has been moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileHash {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl FileHash {
    /// Computes the size and hash of a file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn of(path: &Path) -> Result<Self, ExperimentError> {
        let mut hash = Sha256::new();
        let bytes = File::open(path)
            .and_then(|mut file| std::io::copy(&mut file, &mut hash))
            .map_err(ExperimentError::file("read", path))?;
        Ok(Self { bytes, sha256: format!("{:x}", hash.finalize()) })
    }
}

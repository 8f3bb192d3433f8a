//! What tells a file from another: it may be moved, and stays the same.

use std::fs::File;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

#[derive(Serialize)]
pub struct FileHash {
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

/// Reads a file for its size and hash.
pub fn file_hash(path: &Path) -> Result<FileHash, String> {
    let mut hash = Sha256::new();
    let bytes = File::open(path)
        .and_then(|mut file| std::io::copy(&mut file, &mut hash))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(FileHash { bytes, sha256 })
}

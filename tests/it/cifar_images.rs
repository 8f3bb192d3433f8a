//! The 10 000 test images of CIFAR-10 as JPEG files in one folder per class.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use burn_twins::data::{DataSource, ImageDataset, Part};

/// The images; `None` where `TWINS_SHARED` is not set.
pub fn open() -> Option<Arc<dyn ImageDataset>> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(unpacked).as_ref()?;
    // `test` is the test part of a folder that has both parts; here it is the whole set.
    let source: DataSource = format!("folder:{}", folder.join("test").display()).parse().unwrap();
    Some(source.open(Part::Test).unwrap())
}

/// The folder that the archive is unpacked to, once for all tests and runs.
fn unpacked() -> Option<PathBuf> {
    let archive = twins_testing::shared("data/cifar10-jpeg-test.tar.gz")?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cifar10-jpeg-test");
    if !folder.exists() {
        // Under another name until it is complete: a test may be killed, and another process may do the same.
        let incomplete = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(archive).unwrap()));
        archive.unpack(incomplete.path()).unwrap();
        let renamed = fs::rename(incomplete.path(), &folder);
        assert!(renamed.is_ok() || folder.exists(), "{}: {renamed:?}", folder.display());
    }
    Some(folder)
}

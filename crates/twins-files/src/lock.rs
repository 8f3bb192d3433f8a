//! Locks that end with their process.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// A lock file that keeps other processes from the same work. The operating system ends the lock with the process, even
/// if the process is killed, so the file of a dead process does not block.
///
/// The file contains the id of the process that holds the lock. On a file system without locks, every process gets the
/// lock.
///
/// ```
/// use twins_files::{LockError, ProcessLock};
/// let folder = tempfile::tempdir()?;
/// let lock = ProcessLock::acquire(folder.path().join("lock"))?;
/// let second = ProcessLock::acquire(folder.path().join("lock"));
/// assert!(matches!(second, Err(LockError::Held { process: Some(id) }) if id == std::process::id()));
/// drop(lock);
/// ProcessLock::acquire(folder.path().join("lock"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ProcessLock {
    path: PathBuf,
    _file: File,
    temporary: bool,
}

/// The most digits of the id of a process.
const LONGEST_ID: u64 = 20;

/// Why a lock could not be acquired.
#[derive(Debug)]
pub enum LockError {
    /// A process holds it.
    Held {
        /// The id of the process; `None` if the process has not written it yet, or if the file cannot be read.
        process: Option<u32>,
    },
    /// There is a file of that name that is no lock: it contains something other than the id of a process. It is left as it is.
    OtherFile,
    /// The file cannot be created or opened.
    Io(io::Error),
}

impl ProcessLock {
    /// Acquires the lock, or returns at once if a process holds it. The file is created if it does not exist, and stays
    /// when the lock ends.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`], also if this process holds the lock; [`LockError::OtherFile`]; [`LockError::Io`].
    pub fn acquire(path: impl Into<PathBuf>) -> Result<Self, LockError> {
        Self::open(path.into(), false)
    }

    /// Acquires the lock like [`acquire`](Self::acquire), but removes the file when the lock is dropped. The file of a
    /// process that is killed stays until the lock is acquired again.
    ///
    /// # Errors
    ///
    /// As for [`acquire`](Self::acquire).
    pub fn acquire_temporary(path: impl Into<PathBuf>) -> Result<Self, LockError> {
        Self::open(path.into(), true)
    }

    fn open(path: PathBuf, temporary: bool) -> Result<Self, LockError> {
        loop {
            // Not truncated, because it contains the id of the process that may hold the lock.
            let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
            let mut file = file.map_err(LockError::Io)?;
            match file.try_lock() {
                // An error means that the file system does not support locks, so the process continues without one.
                Ok(()) | Err(TryLockError::Error(_)) => {}
                Err(TryLockError::WouldBlock) => return Err(LockError::Held { process: holder(&mut file) }),
            }
            // The previous holder may have removed the file between the opening and the locking. Another process would
            // then create and lock a new one.
            if is_removed(&file) {
                continue;
            }
            if !is_lock(&mut file).map_err(LockError::Io)? {
                return Err(LockError::OtherFile);
            }
            // A full disk does not matter: the lock holds without the id.
            let _ = file
                .set_len(0)
                .and_then(|()| file.seek(SeekFrom::Start(0)))
                .and_then(|_| write!(file, "{}", std::process::id()));
            return Ok(Self { path, _file: file, temporary });
        }
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        if self.temporary {
            // A file that cannot be removed does not block: nobody holds it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether the file is empty or contains the id of a process. Files of other programs may end in `.lock`, too, such as `Cargo.lock`.
fn is_lock(file: &mut File) -> io::Result<bool> {
    let mut beginning = Vec::new();
    file.take(LONGEST_ID + 1).read_to_end(&mut beginning)?;
    Ok(beginning.len() as u64 <= LONGEST_ID && beginning.iter().all(u8::is_ascii_digit))
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(unix)]
fn is_removed(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
}

/// Windows does not reuse the name of a file while it is open.
#[cfg(not(unix))]
fn is_removed(_file: &File) -> bool {
    false
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { process: Some(id) } => write!(f, "in use by process {id}"),
            Self::Held { process: None } => write!(f, "in use by another process"),
            Self::OtherFile => write!(f, "a file of that name is no lock"),
            Self::Io(source) => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for LockError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_a_stale_file_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        // What a process that was killed leaves, with a longer id than this one's can be.
        fs::write(&path, "12345678901234567890").unwrap();
        let lock = ProcessLock::acquire(&path).unwrap();
        let id = std::process::id().to_string();
        assert_eq!(fs::read_to_string(&path).unwrap(), id);
        for _ in 0..2 {
            let message = ProcessLock::acquire_temporary(&path).unwrap_err().to_string();
            assert_eq!(message, format!("in use by process {id}"));
        }
        drop(lock);
        assert!(path.exists());

        let lock = ProcessLock::acquire_temporary(&path).unwrap();
        fs::write(&path, "").unwrap();
        let message = ProcessLock::acquire(&path).unwrap_err().to_string();
        assert_eq!(message, "in use by another process");
        drop(lock);
        assert!(!path.exists());

        for text in ["version = 4", "123456789012345678901"] {
            fs::write(&path, text).unwrap();
            for acquire in [ProcessLock::acquire, ProcessLock::acquire_temporary] {
                assert!(matches!(acquire(&path), Err(LockError::OtherFile)));
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }

        let error = ProcessLock::acquire(folder.path().join("missing/lock")).unwrap_err();
        assert!(matches!(error, LockError::Io(_)), "{error}");
    }

    #[test]
    fn a_lock_that_is_removed_while_others_wait_has_one_holder_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let holders = std::sync::atomic::AtomicUsize::new(0);
        let ordering = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut acquired = 0;
                    while acquired < 200 {
                        if let Ok(lock) = ProcessLock::acquire_temporary(&path) {
                            assert_eq!(holders.fetch_add(1, ordering), 0, "two holders at once");
                            acquired += 1;
                            holders.fetch_sub(1, ordering);
                            drop(lock);
                        }
                    }
                });
            }
        });
        assert!(!path.exists());
    }
}

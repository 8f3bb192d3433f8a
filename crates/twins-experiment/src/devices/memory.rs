use std::fs;
use std::path::{Path, PathBuf};

/// An estimate of the memory that batches take on a CPU, from runs with small batches. It has a fixed part and a part for each image.
///
/// ```text
/// needed(n) = fixed + n · per_image
/// ```
///
/// A batch that does not fit into memory ends the process: the system kills it, or an allocation fails, and neither can be handled.
/// Therefore the memory of a batch is estimated beforehand. Nearly all of it holds activations, which grow with the batch.
///
/// ```
/// use twins_experiment::{BatchMemory, available_memory};
///
/// let run = |images: usize| -> Result<(), std::io::Error> {
///     std::hint::black_box(vec![1_u8; images << 20]);
///     Ok(())
/// };
/// // Both are `None` where the system does not tell; there is nothing to check then.
/// if let (Some(available), Some(memory)) = (available_memory(), BatchMemory::measure(64, run)?) {
///     memory.check(64, available).expect("64 MiB are there");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMemory {
    /// The number of bytes that does not depend on the batch size.
    pub fixed: u64,
    /// The number of bytes per image.
    pub per_image: u64,
}

/// A batch does not fit into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a batch of {batch_size} images needs about {:.1} GiB of memory and {:.1} GiB are available: {}",
    gib(*needed), gib(*available), remedy(*fits)
)]
pub struct MemoryError {
    /// Images in the batch.
    pub batch_size: usize,
    /// The estimated number of bytes that it needs.
    pub needed: u64,
    /// The number of bytes that are available.
    pub available: u64,
    /// The largest batch that fits, by the same estimate.
    pub fits: usize,
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / (1_u64 << 30) as f64
}

fn remedy(fits: usize) -> String {
    match fits {
        0 => "not one image fits; use a smaller model or smaller images, or free memory".to_owned(),
        fits => format!("use a batch size of at most {fits}, or free memory"),
    }
}

impl MemoryError {
    /// The same for a batch of another size that has the images of this error in memory at a time: a part of its images, or more if each of
    /// several shards has a batch of its own.
    pub(crate) fn for_batch(self, batch_size: usize) -> Self {
        let fits = self.fits as u128 * batch_size as u128 / self.batch_size.max(1) as u128;
        Self { batch_size, fits: usize::try_from(fits).unwrap_or(usize::MAX), ..self }
    }
}

impl BatchMemory {
    /// A memory use above this size is not affected by the memory that an allocator retains or reserves in advance.
    const CLEAR: u64 = 64 << 20;

    /// Runs batches of 2, 4, 8, ... images, until a batch has more than a quarter of `batch_size` images or its memory use is well above
    /// the allocator's overhead. Then runs a batch of twice as many images, and computes the estimate from the peaks of the last two.
    /// Returns `None` if the system does not report the peak (only Linux does), or if `batch_size` is too small for an estimate.
    ///
    /// The peak is measured for the whole process, so nothing else should run in it.
    ///
    /// # Errors
    ///
    /// The first error of `run`.
    pub fn measure<E>(
        batch_size: usize,
        mut run: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Option<Self>, E> {
        let Some(before) = read_status("VmRSS:") else { return Ok(None) };
        let mut peak = |images: usize| -> Result<Option<u64>, E> {
            // This resets VmHWM to the current size.
            if fs::write("/proc/self/clear_refs", "5").is_err() {
                return Ok(None);
            }
            run(images)?;
            Ok(read_status("VmHWM:").map(|peak| peak.saturating_sub(before)))
        };
        let mut images = 2;
        if 2 * images > batch_size {
            return Ok(None);
        }
        let Some(mut small) = peak(images)? else { return Ok(None) };
        while small < Self::CLEAR && 4 * images <= batch_size {
            images *= 2;
            let Some(next) = peak(images)? else { return Ok(None) };
            small = next;
        }
        let Some(large) = peak(2 * images)? else { return Ok(None) };
        let per_image = large.saturating_sub(small) / images as u64;
        Ok(Some(Self { fixed: small.saturating_sub(per_image * images as u64), per_image }))
    }

    /// The number of bytes that a batch takes in addition to the memory of the process.
    pub fn needed(&self, batch_size: usize) -> u64 {
        self.fixed.saturating_add(self.per_image.saturating_mul(batch_size as u64))
    }

    /// Checks that a batch fits.
    ///
    /// # Errors
    ///
    /// [`MemoryError`], with the largest batch that fits.
    pub fn check(&self, batch_size: usize, available: u64) -> Result<(), MemoryError> {
        let needed = self.needed(batch_size);
        if needed <= available {
            return Ok(());
        }
        let fits = available.saturating_sub(self.fixed).checked_div(self.per_image).unwrap_or(0) as usize;
        Err(MemoryError { batch_size, needed, available, fits })
    }
}

/// Reads a memory size of this process, in bytes. The crate `sysinfo` would report the current size, but not the peak.
fn read_status(field: &str) -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, field)
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The number of bytes of memory that this process can still use without swapping: the available memory of the system, or the remaining
/// memory of its control group (version 2, used by containers), whichever is less. `None` if the system does not report it; only Linux
/// does.
pub fn available_memory() -> Option<u64> {
    let system = kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    Some(left_to_group(Path::new("/sys/fs/cgroup"), group).map_or(system, |left| left.min(system)))
}

/// The memory that the limits of a control group and its parents leave; `None` without a limit.
fn left_to_group(root: &Path, group: &str) -> Option<u64> {
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let left = |folder: &Path| {
        let limit = number(folder.join("memory.max"))?;
        let used = number(folder.join("memory.current"))?;
        // Cached files count as used, but the system frees them when memory is needed.
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok());
        Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
    };
    root.join(group).ancestors().take_while(|folder| folder.starts_with(root)).filter_map(left).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_what_fits() {
        let memory = BatchMemory { fixed: 1 << 30, per_image: 1 << 28 };
        assert_eq!(memory.needed(12), 4 << 30);
        assert_eq!(memory.check(12, 4 << 30), Ok(()));
        let error = memory.check(128, 4 << 30).unwrap_err();
        assert_eq!((error.fits, error.needed), (12, 33 << 30));
        let text = error.to_string();
        for part in ["128 images", "33.0 GiB", "4.0 GiB", "at most 12"] {
            assert!(text.contains(part), "{text}");
        }
        let text = memory.check(128, 1 << 30).unwrap_err().to_string();
        assert!(text.contains("not one image fits"), "{text}");
    }

    #[test]
    fn the_advice_is_a_batch_size_and_not_that_of_its_parts() {
        let memory = BatchMemory { fixed: 0, per_image: 1 << 30 };
        // Four micro-batches, one after the other; micro-batches of 34, 33 and 33 images; four shards with batches of their own.
        for (batch_size, at_a_time, fits) in [(128, 32, 80), (100, 34, 58), (8, 32, 5)] {
            let error = memory.check(at_a_time, 20 << 30).unwrap_err().for_batch(batch_size);
            assert_eq!(
                (error.batch_size, error.fits, error.needed),
                (batch_size, fits, (at_a_time as u64) << 30)
            );
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        let text = "VmPeak:\t  500 kB\nVmRSS:\t  12 kB\nThreads:\t2\n";
        assert_eq!(kilobytes(text, "VmRSS:"), Some(12 << 10));
        assert_eq!(kilobytes(text, "VmHWM:"), None);
        assert_eq!(kilobytes(text, "Threads:"), None);
    }

    #[test]
    fn the_narrowest_group_counts_and_cached_files_do_not() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        let write = |folder: &Path, name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        assert_eq!(left_to_group(root.path(), "outer/inner"), None);
        write(&inner, "memory.max", "max\n");
        write(&inner, "memory.current", "100\n");
        assert_eq!(left_to_group(root.path(), "outer/inner"), None);
        write(&inner, "memory.max", "5000\n");
        assert_eq!(left_to_group(root.path(), "outer/inner"), Some(4900));
        write(&inner, "memory.stat", "anon 60\ninactive_file 40\n");
        assert_eq!(left_to_group(root.path(), "outer/inner"), Some(4940));
        write(&root.path().join("outer"), "memory.max", "1000\n");
        write(&root.path().join("outer"), "memory.current", "1200\n");
        assert_eq!(left_to_group(root.path(), "outer/inner"), Some(0));
    }

    #[test]
    fn an_error_of_the_run_comes_through() {
        let outcome = BatchMemory::measure(64, |_| Err("no"));
        assert!(outcome == Err("no") || !cfg!(target_os = "linux"), "{outcome:?}");
    }
}

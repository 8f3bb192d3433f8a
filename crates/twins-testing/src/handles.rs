use std::fs::read_dir;

/// Number of files that this process has open, sockets and pipes included; `None` where the system does not report it.
pub fn open_handles() -> Option<usize> {
    // One of the entries is the handle that lists them.
    entries("/proc/self/fd").map(|handles| handles.saturating_sub(1))
}

/// Number of threads of this process; `None` where the system does not report it.
pub fn threads() -> Option<usize> {
    entries("/proc/self/task")
}

/// The number of entries of a folder of Linux's `/proc`.
fn entries(folder: &str) -> Option<usize> {
    Some(read_dir(folder).ok()?.count())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn there_are_a_thread_and_the_standard_streams() {
        assert!(threads().is_some_and(|threads| threads >= 1));
        assert!(open_handles().is_some_and(|handles| handles >= 1));
    }
}

/// Resident memory of this process in bytes; `None` where the system does not report it.
pub fn resident_memory() -> Option<u64> {
    status("VmRSS:")
}

/// The most memory that this process had so far, in bytes; `None` where the system does not report it.
pub fn peak_memory() -> Option<u64> {
    status("VmHWM:")
}

/// A field of Linux's `/proc/self/status`, which is in kilobytes.
fn status(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

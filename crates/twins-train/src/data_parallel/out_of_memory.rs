//! Suggests a remedy for a panic. If its message reports that memory was exhausted, the remedy names smaller sizes to
//! try. If the connection to a remote device was lost, the remedy is to start its server again.

/// The sizes that determine how much memory the work needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) batch_size: usize,
    /// How a step is divided into micro-batches; `None` for work without micro-batches.
    pub(crate) micro_batches: Option<MicroBatches>,
}

/// How a step is divided into micro-batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MicroBatches {
    pub(crate) accumulate: usize,
    /// The smallest number of images that a micro-batch may have.
    pub(crate) smallest: usize,
}

/// Parts of the messages of CUDA, Vulkan, wgpu, CubeCL and the allocator which report that memory was exhausted, or that a
/// tensor is larger than the device allows. They are in lower case, with spaces instead of hyphens and underscores.
const EXHAUSTED: [&str; 10] = [
    "out of memory",
    "outofmemory",
    "out of device memory",
    "out of host memory",
    "not enough memory",
    "memory allocation",
    "can't allocate",
    "cannot allocate",
    "maximum buffer size",
    "buffer binding size",
];

pub(crate) fn is_exhausted(message: &str) -> bool {
    let message = message.to_lowercase().replace(['-', '_'], " ");
    EXHAUSTED.iter().any(|part| message.contains(part))
}

/// Whether the message is one of Burn's remote backend about a connection that ended before a response.
pub(crate) fn is_connection_lost(message: &str) -> bool {
    ["Failed to read tensor: RecvError", "Remote response channel closed"]
        .iter()
        .any(|part| message.contains(part))
}

/// Describes the remedy in words. `devices` is the number of devices that shared the work.
pub(crate) fn remedy(message: &str, load: Load, devices: usize) -> String {
    if is_connection_lost(message) {
        return "start its server again, or name other devices, and resume from the last checkpoint"
            .to_owned();
    }
    if !is_exhausted(message) {
        return match devices {
            1 => "remove the cause and resume from the last checkpoint".to_owned(),
            _ => "remove the cause, or leave it out of the list, and resume from the last checkpoint"
                .to_owned(),
        };
    }
    let size = load.batch_size;
    let half = || format!("batch_size {} (now {size})", size / 2);
    let Some(MicroBatches { accumulate, smallest }) = load.micro_batches else {
        let smaller = if size >= 4 { half() } else { "a smaller model".to_owned() };
        return format!("its memory is too small for the batch: use {smaller}");
    };
    let smaller = (size / 2 / devices / accumulate >= smallest).then(half);
    let more = (2 * accumulate).min(size / devices / smallest);
    let divided = (more > accumulate)
        .then(|| format!("accumulate {more} (now {accumulate}; a step then still has {size} images)"));
    let ways: Vec<String> = [smaller, divided].into_iter().flatten().collect();
    match ways.is_empty() {
        true => {
            "its memory is too small for the batch: use a smaller model, or resume on more devices".to_owned()
        }
        false => format!(
            "its memory is too small for the batch: begin anew with {}, or resume on more devices",
            ways.join(" or ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_backends_are_known() {
        for message in [
            "out of device memory allocating 4294967296 bytes\n",
            "An out-of-memory error happened during launch\nCaused by:\n",
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "called `Result::unwrap()` on an `Err` value: OutOfMemory { size: 12 }",
            "can't allocate buffer of size: 8589934592\n",
            "wgpu error: Not enough memory left.",
            "Buffer size 8589934592 is greater than the maximum buffer size (4294967296)",
            "Buffer binding 0 range 3 exceeds `max_storage_buffer_binding_size` limit 2",
        ] {
            assert!(is_exhausted(message), "{message}");
        }
        for message in ["index out of bounds: the len is 3", "Shape mismatch: [2, 3] and [3]", "device lost"]
        {
            assert!(!is_exhausted(message), "{message}");
        }
    }

    #[test]
    fn a_lost_connection_is_known() {
        let message =
            "Error while reading data: Generic { reason: \"Failed to read tensor: RecvError(())\" }";
        let load = Load { batch_size: 8, micro_batches: None };
        assert!(is_connection_lost(message) && remedy(message, load, 1).contains("start its server again"));
        assert!(!is_connection_lost("index out of bounds: the len is 3"));
    }

    #[test]
    fn the_sizes_suggested_can_be_used() {
        let load = |batch_size, accumulate| {
            let micro_batches = Some(MicroBatches { accumulate, smallest: 8 });
            Load { batch_size, micro_batches }
        };
        let say = |batch_size, accumulate| remedy("out of memory", load(batch_size, accumulate), 1);
        let message = say(16, 1);
        assert!(message.contains("batch_size 8 (now 16) or accumulate 2 (now 1;"), "{message}");
        // No fewer than eight images for each of them.
        assert!(say(40, 4).contains("accumulate 5 (now 4;") && !say(40, 4).contains("batch_size 20"));
        assert!(!say(40, 5).contains("accumulate"));
        assert!(say(8, 1).contains("use a smaller model"));
        let message = remedy("out of memory", load(64, 2), 2);
        assert!(message.contains("batch_size 32 (now 64) or accumulate 4 (now 2;"), "{message}");
        let evaluation = |batch_size| remedy("out of memory", Load { batch_size, micro_batches: None }, 1);
        assert!(evaluation(100).ends_with("use batch_size 50 (now 100)"));
        assert!(evaluation(2).ends_with("use a smaller model"));
        let other = remedy("device lost", load(16, 1), 2);
        assert!(other.contains("leave it out of the list") && !other.contains("16"), "{other}");
    }
}

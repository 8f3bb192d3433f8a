//! The estimate of a batch's memory.
#![cfg(target_os = "linux")]

use burn_twins::{BatchMemory, available_memory};
use twins_testing::in_own_process;

/// 40 MiB that stay whatever the batch, and 8 MiB for each image.
fn run(images: usize) -> Result<(), std::convert::Infallible> {
    let weights = vec![1_u8; 40 << 20];
    let activations: Vec<Vec<u8>> = (0..images).map(|_| vec![1; 8 << 20]).collect();
    std::hint::black_box((weights, activations));
    Ok(())
}

#[test]
fn both_parts_are_found() {
    in_own_process("batch_memory::both_parts_are_found", measure);
}

fn measure() {
    let memory = BatchMemory::measure(1000, run).unwrap().expect("Linux tells");
    // The runs have 2, 4 (72 MiB, clear of the allocator) and 8 images; beside these vectors there is next to nothing, and
    // 1 MiB of it would be a quarter of one in the part per image.
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    assert!((mib(memory.per_image) - 8.0).abs() < 0.5, "{memory:?}");
    assert!((mib(memory.fixed) - 40.0).abs() < 4.0, "{memory:?}");

    let available = available_memory().expect("Linux tells");
    memory.check(4, available).unwrap();
    let error = memory.check(100_000_000, available).unwrap_err();
    assert_eq!(error.available, available);
    assert!(memory.check(error.fits, available).is_ok() && memory.check(error.fits + 1, available).is_err());

    assert_eq!(BatchMemory::measure(3, run).unwrap(), None);
}

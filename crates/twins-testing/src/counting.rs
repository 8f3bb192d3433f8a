//! Counts what a thread allocates.

// A custom allocator is unsafe to implement.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

/// An allocator that counts what each thread allocates, for [`peak`]. A binary of tests installs it:
///
/// ```text
/// #[global_allocator]
/// static ALLOCATOR: twins_testing::Counting = twins_testing::Counting;
/// ```
pub struct Counting;

// Of each thread, because tests run side by side. Constant and without a destructor: an allocator may use them.
thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    let live = LIVE.get() + change;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What `run` returns, and the most bytes that its thread had allocated at once, beyond those before it.
///
/// # Panics
///
/// If [`Counting`] is not the allocator, so that nothing would be counted.
pub fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let start = || {
        let before = LIVE.get();
        PEAK.set(before);
        before
    };
    let before = start();
    drop(black_box(vec![0u8; 1000]));
    assert!(PEAK.get() - before >= 1000, "twins_testing::Counting has to be the #[global_allocator]");
    let before = start();
    let outcome = run();
    (outcome, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

#[test]
fn allocations_are_counted_and_their_memory_is_usable() {
    let (sum, most) = peak(|| {
        let mut values = vec![0_u8; 4096];
        std::hint::black_box(&mut values).resize(3 * 4096, 1);
        values.iter().map(|value| usize::from(*value)).sum::<usize>()
    });
    assert_eq!(sum, 2 * 4096);
    // While it grows, the vector is there twice at most.
    assert!((3 * 4096..=4 * 4096).contains(&most), "{most}");
}

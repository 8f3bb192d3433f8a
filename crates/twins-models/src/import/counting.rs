//! Counts what the thread allocates, for the tests of damaged files.

// An allocator of one's own is unsafe to implement.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

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

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` returns, and the most bytes that its thread had allocated at once, beyond those before it.
pub(crate) fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
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

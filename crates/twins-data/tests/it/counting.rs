//! Counts what is allocated: every test of this binary runs with a counting allocator.

// A custom allocator is unsafe to implement.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn count(layout: Layout) {
    let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` returns, and the most bytes that were allocated at once while it ran, beyond those before it. The
/// counters belong to the process: the calling test runs in one of its own ([`in_own_process`](twins_testing::in_own_process)).
pub fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let outcome = run();
    (outcome, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

/// The bytes that are allocated now.
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

#[test]
fn allocations_are_counted_and_their_memory_is_usable() {
    twins_testing::in_own_process("counting::allocations_are_counted_and_their_memory_is_usable", || {
        let (sum, most) = peak(|| {
            let mut values = vec![0_u8; 1 << 20];
            std::hint::black_box(&mut values).resize(3 << 20, 1);
            values.iter().map(|value| usize::from(*value)).sum::<usize>()
        });
        assert_eq!(sum, 2 << 20);
        assert!(most >= 3 << 20, "{most}");
    });
}

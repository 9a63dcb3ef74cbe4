//! An allocator that counts: the largest single request, and how high the memory in use has risen.
//!
//! It changes nothing about what it hands out. One thread at a time is measured; the smoke run has no other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static HIGHEST: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
#[derive(Debug)]
pub struct Counting;

fn grown(bytes: usize, request: usize) {
    let now = IN_USE.fetch_add(bytes, Relaxed).wrapping_add(bytes);
    HIGHEST.fetch_max(now, Relaxed);
    LARGEST.fetch_max(request, Relaxed);
}

#[expect(
    unsafe_code,
    reason = "an allocator cannot be written otherwise; every call goes straight to the system's"
)]
// SAFETY: all memory comes from and goes to `System` with the very layout that the caller gave.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size(), layout.size());
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size(), layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `at` came from `System` with this layout, since everything here does.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size() {
            grown(size - layout.size(), size);
        } else {
            IN_USE.fetch_sub(layout.size() - size, Relaxed);
        }
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// What was asked for since the measurement began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The largest single request.
    pub largest: usize,
    /// How far the memory in use rose above where it began.
    pub risen: usize,
}

/// Begins a measurement.
#[derive(Debug)]
pub struct Measure {
    begun: usize,
}

impl Measure {
    /// From here on.
    #[must_use]
    pub fn begin() -> Self {
        let begun = IN_USE.load(Relaxed);
        HIGHEST.store(begun, Relaxed);
        LARGEST.store(0, Relaxed);
        Self { begun }
    }

    /// Until here.
    #[must_use]
    pub fn end(&self) -> Use {
        Use { largest: LARGEST.load(Relaxed), risen: HIGHEST.load(Relaxed).saturating_sub(self.begun) }
    }
}

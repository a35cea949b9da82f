//! How often a thread asks for memory, and how much at once: the allocator of unit tests counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The most that this thread asks for at once while it does something.
pub(crate) fn largest_of<T>(act: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.set(0);
    let done = act();
    (done, LARGEST.get())
}

/// How often this thread has asked for memory so far.
pub(crate) fn of_this_thread() -> u64 {
    ALLOCATIONS.get()
}

struct Counting;

fn count(bytes: usize) {
    // A thread that is ending has nobody to tell.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

#[expect(unsafe_code, reason = "a global allocator cannot be had without")]
// SAFETY: every call is handed on to the system's allocator as it is; counting touches a plain cell of the thread, which needs no
// memory to be made and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::of_this_thread;
    use crate::StreamExecutionEnvironment;

    #[test]
    fn a_chain_on_numbers_asks_for_no_memory_per_record() {
        const RECORDS: u64 = 800_000;
        let allocations = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let noted = Arc::clone(&allocations);
        let env = StreamExecutionEnvironment::new();
        env.set_parallelism(1);
        let mut numbers = env.from_sequence(0, RECORDS).map(|n| n + 1).filter(|n| n % 3 != 0);
        for _ in 0..5 {
            numbers = numbers.map(|n| n + 3).filter(|n| n % 1000 != 7);
        }
        // Once everything is warm, and in the end.
        let watched = numbers.map(move |n| {
            noted[usize::from(n > RECORDS / 8)].store(of_this_thread(), Ordering::Relaxed);
            n
        });
        watched.discard();
        env.execute("numbers").unwrap();
        let [warm, end] = [0, 1].map(|at: usize| allocations[at].load(Ordering::Relaxed));
        // A box a batch and operator: of 1024 records, and of fewer behind filters.
        assert!(warm > 0 && end > warm);
        assert!(end - warm <= RECORDS / 40, "{} allocations for {RECORDS} records", end - warm);
    }
}

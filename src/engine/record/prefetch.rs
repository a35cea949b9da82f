//! Asking for memory before it is needed. The engine's one unsafe line.

/// Asks for the cache line of `values[index]`, so that a look at it soon does not wait. Nothing where there is no such value.
///
/// Measured: with a million text keys a fold costs 28 ns where each key of a batch is asked for before the first is looked at,
/// and 46 ns without; the misses then overlap.
#[inline]
pub(super) fn prefetch<T>(values: &[T], index: usize) {
    let Some(value) = values.get(index) else { return };
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "there is no safe intrinsic for it")]
    // SAFETY: a prefetch has no effect but on caches, and the address is that of a reference.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

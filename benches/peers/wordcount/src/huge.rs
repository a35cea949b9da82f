//! Zeroed memory straight from the system, on big pages where it gives them.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::{io, slice};

/// A slice of `T` in an anonymous mapping; `T` must be valid when all its bytes are zero, and needs no drop.
pub struct Zeroed<T> {
    data: NonNull<T>,
    len: usize,
    mapped: NonNull<libc::c_void>,
    mapped_bytes: usize,
}

// SAFETY: the mapping is owned by this value alone, like a Box's memory.
unsafe impl<T: Send> Send for Zeroed<T> {}

const BIG_PAGE: usize = 2 << 20;

impl<T: Copy> Zeroed<T> {
    /// `len` zeroes. Panics where the system has no memory left.
    ///
    /// # Safety
    /// All-zero bytes must be a valid `T`.
    pub unsafe fn new(len: usize) -> Self {
        let bytes = len * size_of::<T>();
        let mapped_bytes = bytes.next_multiple_of(BIG_PAGE) + BIG_PAGE;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping; no existing memory is touched.
        let mapped = unsafe { libc::mmap(std::ptr::null_mut(), mapped_bytes, access, kind, -1, 0) };
        assert_ne!(mapped, libc::MAP_FAILED, "no memory: {}", io::Error::last_os_error());
        let aligned = mapped.wrapping_byte_add(mapped.align_offset(BIG_PAGE));
        if bytes >= BIG_PAGE {
            // SAFETY: the range lies inside the mapping. It is advice: where it is refused, small pages serve.
            unsafe { libc::madvise(aligned, bytes, libc::MADV_HUGEPAGE) };
        }
        let not_null = "mmap does not return null";
        Self {
            data: NonNull::new(aligned.cast()).expect(not_null),
            len,
            mapped: NonNull::new(mapped).expect(not_null),
            mapped_bytes,
        }
    }
}

impl<T> Deref for Zeroed<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `new` mapped `len` values, aligned to a page, and all-zero is valid by its contract.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Zeroed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes the access the only one.
        unsafe { slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

impl<T> Drop for Zeroed<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, which nothing else refers to.
        unsafe { libc::munmap(self.mapped.as_ptr(), self.mapped_bytes) };
    }
}

//! Memory that the kernel may read and write, and memory that all threads share.

use std::fmt;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::AtomicU64;

/// Words of memory that all threads share. They start as zero, and another process could map them,
/// too.
///
/// A word costs memory only once its page has been touched.
#[derive(Debug)]
pub struct Mapping {
    /// At least `words * 8` bytes, page-aligned, readable and writable, zero when mapped.
    region: Region,
    /// The number of words.
    words: usize,
}

impl Mapping {
    /// Maps `words` zeroed words of an anonymous file.
    ///
    /// # Errors
    /// The kernel's error if the file or the address space cannot be created.
    pub fn anonymous_shared(words: usize) -> io::Result<Self> {
        let bytes = words.checked_mul(size_of::<AtomicU64>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
        let file = File::from(nix::sys::memfd::memfd_create(c"strowger-pins", flags)?);
        file.set_len(bytes as u64)?;
        let region = Region::shared(&file, bytes)?;
        // Pins are at random positions in tens of megabytes: with small pages, nearly every access
        // misses the TLB as well as the cache.
        region.prefer_huge_pages();
        Ok(Self { region, words })
    }

    /// Maps `words` zeroed words of this process alone, in ordinary pages.
    ///
    /// # Errors
    /// The kernel's error if there is no address space.
    pub fn private(words: usize) -> io::Result<Self> {
        let bytes = words.checked_mul(size_of::<AtomicU64>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { region: Region::private(bytes)?, words })
    }

    /// Makes the kernel allocate all of the memory now, so that none has to be allocated while
    /// messages arrive (Linux 5.14).
    ///
    /// # Errors
    /// The kernel's error if there is not enough.
    pub fn populate(&self) -> io::Result<()> {
        self.region.populate()
    }
}

impl Deref for Mapping {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the region is at least `words * 8` bytes long, page-aligned and initialised (the
        // kernel zeroes it), any bit pattern is a valid AtomicU64, and no other kind of reference
        // into it is ever created. A file behind it never shrinks: its only descriptor was closed
        // after the size was set.
        unsafe { slice::from_raw_parts(self.region.start.as_ptr().cast(), self.words) }
    }
}

/// An array of plain C data that the kernel may read and write, all zero at first.
pub(super) struct RawArray<T> {
    /// At least `len * size_of::<T>()` bytes, aligned to a page, zero when mapped.
    region: Region,
    /// The number of elements.
    len: usize,
    element: PhantomData<fn() -> T>,
}

impl<T: Copy> RawArray<T> {
    pub(super) fn new(len: usize) -> io::Result<Self> {
        Ok(Self { region: Region::private(len * size_of::<T>())?, len, element: PhantomData })
    }

    pub(super) fn at(&self, i: usize) -> *mut T {
        assert!(i < self.len);
        // SAFETY: the offset is below `len * size_of::<T>()`, within the region.
        unsafe { self.region.start.as_ptr().cast::<T>().add(i) }
    }
}

impl<T> fmt::Debug for RawArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawArray").field("len", &self.len).finish_non_exhaustive()
    }
}

/// A mapping that we own.
#[derive(Debug)]
pub(super) struct Region {
    /// The first byte of a mapping that nobody else unmaps, aligned to a page.
    start: NonNull<u8>,
    /// Its length as given to `mmap`; never 0.
    len: usize,
}

// SAFETY: a Region is an address and a length; the memory belongs to the process, not to a thread.
unsafe impl Send for Region {}
// SAFETY: a shared Region gives out nothing but its address; code that makes references from it (in
// this folder only) must ensure that they are valid.
unsafe impl Sync for Region {}

impl Region {
    /// Maps memory of this process alone, which costs only the pages that are touched.
    pub(super) fn private(len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Self::map(len, flags, -1)
    }

    /// Maps the first `len` bytes of this file.
    fn shared(file: &File, len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED | libc::MAP_NORESERVE, file.as_raw_fd())
    }

    fn map(len: usize, flags: i32, fd: i32) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED the kernel picks an unused address, so no existing memory
        // changes.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// Returns the address of the first byte.
    pub(super) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Touches every page, as a write to it would.
    fn populate(&self) -> io::Result<()> {
        let (start, advice) = (self.start.as_ptr().cast(), libc::MADV_POPULATE_WRITE);
        // SAFETY: the mapping is ours and exactly this long, and no byte of it changes.
        let result = unsafe { libc::madvise(start, self.len, advice) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Asks for huge pages, which the kernel may grant: for shared memory,
    /// `/sys/kernel/mm/transparent_hugepage/shmem_enabled` must be `advise` or more.
    fn prefer_huge_pages(&self) {
        // SAFETY: the mapping is ours and exactly this long, and the advice changes no byte of it.
        let _ = unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, libc::MADV_HUGEPAGE) };
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and exactly this long; all borrows of it are through the
        // struct that owned this Region, so no reference is left.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert_eq!(result, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_mapping_is_zero_and_keeps_what_is_stored() {
        for mapping in [Mapping::anonymous_shared(1000), Mapping::private(1000)] {
            let mapping = mapping.unwrap();
            assert_eq!(mapping.len(), 1000);
            assert!(mapping.iter().all(|w| w.load(Ordering::Relaxed) == 0));
            mapping[999].store(7, Ordering::Relaxed);
            mapping.populate().unwrap();
            assert_eq!(mapping[999].load(Ordering::Relaxed), 7);
        }
    }
}

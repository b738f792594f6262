//! Reserves ranges of address space, and maps memory inside them.
//!
//! Inside a reservation mappings are only ever *replaced*, never removed, so that no other mapping
//! of the process can move in. Bounds are checked here, whatever the caller computed.

#[cfg(test)]
use super::inject;
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, Result};
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap};
use std::ffi::c_void;
use std::ops::Range;
use std::ptr::NonNull;

pub(crate) use super::arch::page_size;

/// Returns how many bits the addresses have that this process can use: 47 on x86-64, and from 39 to
/// 48 on 64-bit Arm, as the kernel was built. It follows from where the kernel puts things: the
/// stack at the end of all addresses, and mappings below it.
pub(crate) fn address_bits() -> u32 {
    let mapped = Reservation::new(page_size()).map_or(0, |space| space.addresses().start);
    usize::BITS - program_name().max(mapped).leading_zeros()
}

/// Returns the address of the program's name, which stands at the end of the process's own stack.
pub(super) fn program_name() -> usize {
    // SAFETY: the call reads what the kernel has left to the process.
    unsafe { libc::getauxval(libc::AT_EXECFN) as usize }
}

/// Rounds up to whole host pages.
pub(crate) fn whole_pages(bytes: usize) -> usize {
    bytes.next_multiple_of(page_size())
}

/// The kinds of access to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    None,
    Read,
    ReadWrite,
    ReadExecute,
}

impl Access {
    fn for_mmap(self) -> ProtFlags {
        match self {
            Self::None => ProtFlags::empty(),
            Self::Read => ProtFlags::READ,
            Self::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
            Self::ReadExecute => ProtFlags::READ | ProtFlags::EXEC,
        }
    }

    fn for_mprotect(self) -> MprotectFlags {
        match self {
            Self::None => MprotectFlags::empty(),
            Self::Read => MprotectFlags::READ,
            Self::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
            Self::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
        }
    }
}

/// A range of address space, inaccessible until something is mapped over parts of it.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a reservation is an exclusively owned range of memory, like a Box: it may change threads.
unsafe impl Send for Reservation {}
// SAFETY: a shared reference gives out the address only; what is done through it is the user's own
// unsafe.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `len` bytes (whole pages, not 0) of inaccessible memory.
    pub(crate) fn new(len: usize) -> Result<Self> {
        #[cfg(test)]
        inject::call()?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: no address is asked for, so the kernel picks a range in which nothing is mapped.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::empty(), flags) }?;
        Ok(Self { base: NonNull::new(base.cast()).ok_or(Errno::NOMEM)?, len })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Returns the address `offset` bytes in. It may be one past the end.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.len, "an address outside its reservation");
        self.base.as_ptr().wrapping_add(offset)
    }

    /// Returns the addresses it spans.
    pub(crate) fn addresses(&self) -> Range<usize> {
        let start = self.base.as_ptr() as usize;
        start..start + self.len
    }

    fn check(&self, range: &Range<usize>) -> Result<*mut c_void> {
        let pages = range.start.is_multiple_of(page_size()) && range.end.is_multiple_of(page_size());
        if !pages || range.start > range.end || range.end > self.len {
            return Err(Errno::INVAL);
        }
        Ok(self.at(range.start).cast())
    }

    /// Replaces whatever is mapped in `range` by fresh zeros.
    ///
    /// # Safety
    /// Nothing may hold a Rust reference into `range`.
    pub(crate) unsafe fn map_zeros(&self, range: Range<usize>, access: Access) -> Result<()> {
        let at = self.check(&range)?;
        if range.is_empty() {
            return Ok(());
        }
        // SAFETY: `range` lies inside this reservation, so only memory of the reservation is
        // replaced; that no reference points there is the caller's promise.
        unsafe { replace(at, range.len(), access, None) }
    }

    /// Replaces whatever is mapped in `range` by a private view of a file: what is written to it is
    /// copied first.
    ///
    /// # Safety
    /// Nothing may hold a Rust reference into `range`.
    pub(crate) unsafe fn map_file(
        &self,
        range: Range<usize>,
        file: BorrowedFd<'_>,
        offset: usize,
        access: Access,
    ) -> Result<()> {
        let at = self.check(&range)?;
        if range.is_empty() {
            return Ok(());
        }
        // SAFETY: as in `map_zeros`.
        unsafe { replace(at, range.len(), access, Some((file, offset as u64))) }
    }

    /// Changes what may be done with `range`, keeping its contents.
    ///
    /// # Safety
    /// Rust references into `range` must stay valid: none may point to what becomes inaccessible.
    pub(crate) unsafe fn protect(&self, range: Range<usize>, access: Access) -> Result<()> {
        let at = self.check(&range)?;
        if range.is_empty() {
            return Ok(());
        }
        #[cfg(test)]
        inject::before_protecting(at, range.len(), access.for_mprotect())?;
        // SAFETY: `range` lies inside this reservation; references are the caller's promise.
        unsafe { mprotect(at, range.len(), access.for_mprotect()) }
    }

    /// Drops private pages in `range`: they read as the mapped file again, or as zeros.
    ///
    /// # Safety
    /// Nothing may hold a Rust reference into `range`.
    pub(crate) unsafe fn discard(&self, range: Range<usize>) -> Result<()> {
        let at = self.check(&range)?;
        if range.is_empty() {
            return Ok(());
        }
        #[cfg(test)]
        inject::before_discarding(at, range.len())?;
        // SAFETY: `range` lies inside this reservation; references are the caller's promise.
        unsafe { madvise(at, range.len(), Advice::LinuxDontNeed) }
    }
}

/// Replaces whatever is mapped in a range by zeros, or by a private view of a file: what is written
/// to it is copied first.
///
/// # Safety
/// The range must be part of a reservation, and nothing may hold a Rust reference into it.
unsafe fn replace(at: *mut c_void, len: usize, access: Access, file: Option<(BorrowedFd<'_>, u64)>) -> Result<()> {
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    #[cfg(test)]
    if let Err(error) = inject::before_replacing(at, len) {
        close_hole(at, len);
        return Err(error);
    }
    // SAFETY: the caller's promise; MAP_PRIVATE keeps writes out of the file.
    let mapped = unsafe {
        match file {
            None => mmap_anonymous(at, len, access.for_mmap(), flags),
            Some((file, offset)) => mmap(at, len, access.for_mmap(), flags, file, offset),
        }
    };
    mapped.inspect_err(|_| close_hole(at, len)).map(drop)
}

/// Makes sure that something is mapped where a fixed mapping has just failed. Linux before 6.12
/// takes the old mapping away before it finds that it cannot commit memory for the new one. If
/// nothing is mapped there, this maps inaccessible memory, which needs no commitment. Between the
/// two calls another thread's mapping could move in; there is no way to rule that out on those
/// kernels under strict accounting (`vm.overcommit_memory=2`).
#[cold]
fn close_hole(at: *mut c_void, len: usize) {
    let flags = MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE | MapFlags::NORESERVE;
    // SAFETY: this flag replaces nothing: where something is mapped already, the call fails, and
    // nothing is to be done.
    let _ = unsafe { mmap_anonymous(at, len, ProtFlags::empty(), flags) };
}

/// A file, or the start of one, to be read where it is mapped.
#[derive(Debug)]
pub(crate) struct FileView {
    space: Reservation,
    len: usize,
}

impl FileView {
    /// Maps the first `len` bytes (not 0) of a file.
    ///
    /// # Errors
    /// Returns an error if the kernel refuses.
    ///
    /// # Safety
    /// Nobody may change or shorten the file while the view exists.
    pub(crate) unsafe fn new(file: BorrowedFd<'_>, len: usize) -> Result<Self> {
        let space = Reservation::new(whole_pages(len))?;
        // SAFETY: the reservation is new, so nothing refers into it.
        unsafe { space.map_file(0..whole_pages(len), file, 0, Access::Read) }?;
        Ok(Self { space, len })
    }
}

impl AsRef<[u8]> for FileView {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: that much is mapped readable, and `new`'s caller promised that it does not
        // change.
        unsafe { std::slice::from_raw_parts(self.space.base.as_ptr(), self.len) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new`, only replaced since, and nobody may use a
        // reservation's memory after dropping it. Failure would leave it mapped, which harms no
        // one.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_outside_the_reservation_is_refused() {
        let space = Reservation::new(4 * page_size()).unwrap();
        for range in
            [0..5 * page_size(), page_size() / 2..page_size(), 3 * page_size()..usize::MAX & !(page_size() - 1)]
        {
            // SAFETY: nothing refers to this memory.
            assert_eq!(unsafe { space.map_zeros(range, Access::ReadWrite) }, Err(Errno::INVAL));
        }
    }

    #[test]
    fn a_reservation_is_within_the_bits_that_addresses_have() {
        let space = Reservation::new(page_size()).unwrap();
        assert!((39..=52).contains(&address_bits()));
        assert!(space.addresses().end.ilog2() < address_bits());
    }

    #[test]
    fn discarding_brings_zeros_back() {
        let space = Reservation::new(2 * page_size()).unwrap();
        // SAFETY: nothing refers to this memory, and the byte written is mapped writable.
        unsafe {
            space.map_zeros(0..page_size(), Access::ReadWrite).unwrap();
            *space.at(7) = 1;
            space.discard(0..page_size()).unwrap();
            assert_eq!(*space.at(7), 0);
        }
    }
}

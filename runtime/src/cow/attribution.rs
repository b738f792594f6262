//! Notes who wrote each page first in a run.
//!
//! At the beginning of a run only the head is writable. So each page faults once, and the writer is
//! noted. This is a tool for people who examine a program: it costs a fault and a system call for
//! each page that is written.

use super::image::{Image, MEMORY_AT, to_bytes, to_pages};
use super::page_set::Page;
use super::tracking;
use crate::sys::mapping::{Access, Reservation, page_size};
use minirt_compiler::instance::layout::SLOT_SIZE;
use rustix::io::Result;
use std::ops::Range;

/// The writer of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    /// The instruction of compiled code that wrote, or that called the host which wrote. 0 if the
    /// host wrote by itself.
    pub(crate) pc: usize,
    /// Whether a function of the host wrote.
    pub(crate) host: bool,
}

/// Finds out who is writing, when host code asks.
pub(crate) type FindWriter = fn() -> Writer;

/// The first writers of a run.
#[derive(Debug)]
pub(super) struct Attribution {
    find_writer: FindWriter,
    /// Whether pages are write-protected until they are written.
    active: bool,
    /// Whether all writes of this run were seen.
    complete: bool,
    /// A bit for each page of the slot that was written in this run.
    written: Box<[u64]>,
    /// The pages in the order in which they were written. It has room for all of them, because a
    /// signal handler cannot allocate.
    log: Vec<(Page, Writer)>,
    /// How many pages were write-protected in this run: so many there may be in the log.
    protected: usize,
}

impl Attribution {
    pub(super) fn new(find_writer: FindWriter) -> Self {
        let words = (SLOT_SIZE as usize / page_size()).div_ceil(64);
        let written = vec![0; words].into_boxed_slice();
        Self { find_writer, active: false, complete: false, written, log: Vec::new(), protected: 0 }
    }

    /// Write-protects everything but the head of a clean slot that carries `image`, for a new run.
    /// If the kernel refuses, this run has no known writers.
    ///
    /// # Errors
    /// When the kernel does not let that be undone; some of the pages may be write-protected then.
    ///
    /// # Safety
    /// Nobody may hold a reference into the slot.
    pub(super) unsafe fn begin(&mut self, space: &Reservation, image: &Image) -> Result<()> {
        for (page, _) in self.log.drain(..) {
            self.written[page as usize / 64] = 0;
        }
        (self.active, self.complete, self.protected) = (true, true, 0);
        for range in image.protectable() {
            // SAFETY: the caller's promise.
            if unsafe { self.protect(space, range) }.is_err() {
                return self.end(space, image, image.memory);
            }
        }
        Ok(())
    }

    /// Write-protects more of the slot: memory that has grown.
    ///
    /// # Errors
    /// When the kernel refuses.
    ///
    /// # Safety
    /// The range must be inside the slot, and nobody may hold a reference into it.
    pub(super) unsafe fn protect(&mut self, space: &Reservation, range: Range<usize>) -> Result<()> {
        self.protected += range.len() / page_size();
        self.log.reserve(self.protected - self.log.len());
        // SAFETY: the caller's promise.
        unsafe { space.protect(range, Access::Read) }
    }

    /// Returns whether pages are write-protected now.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// Notes a write to `pages` by `writer`, or else by whatever host code is running. Makes those
    /// writable that were not, and returns whether there were any. `accessible` counts the bytes of
    /// memory. Safe to call in a signal handler if the writer is given.
    ///
    /// # Errors
    /// When the kernel refuses, also to make everything writable: what is writable is not known
    /// then.
    #[cold]
    pub(super) fn allow_write(
        &mut self,
        space: &Reservation,
        image: &Image,
        accessible: usize,
        pages: Range<Page>,
        writer: Option<Writer>,
    ) -> Result<bool> {
        let mut noted = false;
        let mut writer = writer;
        let [tables, memory] = image.protectable();
        let grown = memory.end..MEMORY_AT + accessible;
        for part in [tables, memory, grown].iter().map(to_pages) {
            for page in pages.start.max(part.start)..pages.end.min(part.end) {
                let bit = 1 << (page % 64);
                if !self.active || self.written[page as usize / 64] & bit != 0 {
                    continue;
                }
                // SAFETY: it gives more access to what is mapped.
                if unsafe { space.protect(to_bytes(&(page..page + 1)), Access::ReadWrite) }.is_err() {
                    return self.end(space, image, accessible).map(|()| true);
                }
                let writer = *writer.get_or_insert_with(|| (self.find_writer)());
                // There is room for each page once, and never more than that is needed.
                if self.log.len() < self.log.capacity() {
                    self.written[page as usize / 64] |= bit;
                    self.log.push((page, writer));
                } else {
                    self.complete = false;
                }
                noted = true;
            }
        }
        Ok(noted)
    }

    /// Makes everything writable that is accessible. Writes from now on have no known writer.
    ///
    /// # Errors
    /// When the kernel refuses: what is writable is not known then.
    #[cold]
    pub(super) fn end(&mut self, space: &Reservation, image: &Image, accessible: usize) -> Result<()> {
        tracking::lift_protection(space, image)?;
        let grown = image.memory().end..MEMORY_AT + accessible;
        if !grown.is_empty() {
            // SAFETY: it gives more access to what is mapped.
            unsafe { space.protect(grown, Access::ReadWrite) }?;
        }
        (self.active, self.complete) = (false, false);
        Ok(())
    }

    /// Returns whether all writes of this run were seen.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Returns the pages that were written, in the order in which they were.
    pub(super) fn log(&self) -> &[(Page, Writer)] {
        &self.log
    }
}

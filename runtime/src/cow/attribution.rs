//! Notes who wrote each page first in a run.
//!
//! At the beginning of a run only the head is writable. So each page faults once, and the writer is
//! noted. This is a tool for people who examine a program: it costs a fault and a system call for
//! each page that is written.

use super::image::{Image, to_bytes, to_pages};
use super::page_set::Page;
use crate::sys::mapping::{Access, PAGE, Reservation};
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
}

/// The outcome of a write to some pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// None of them was write-protected.
    Nothing,
    /// They are writable now.
    Written,
    /// The kernel refuses to make them writable.
    Refused,
}

impl Attribution {
    pub(super) fn new(find_writer: FindWriter) -> Self {
        let words = (SLOT_SIZE as usize / PAGE).div_ceil(64);
        let written = vec![0; words].into_boxed_slice();
        Self { find_writer, active: false, complete: false, written, log: Vec::new() }
    }

    /// Write-protects everything but the head of a clean slot that carries `image`, for a new run.
    ///
    /// # Errors
    /// When the kernel refuses; some of the pages may be write-protected then.
    ///
    /// # Safety
    /// Nobody may hold a reference into the slot.
    pub(super) unsafe fn begin(&mut self, space: &Reservation, image: &Image) -> Result<()> {
        for (page, _) in self.log.drain(..) {
            self.written[page as usize / 64] = 0;
        }
        (self.active, self.complete) = (true, true);
        for range in image.protectable() {
            // SAFETY: the caller's promise.
            unsafe { self.protect(space, range) }?;
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
        self.log.reserve(range.len() / PAGE);
        // SAFETY: the caller's promise.
        unsafe { space.protect(range, Access::Read) }
    }

    /// Returns whether pages are write-protected now.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// Notes a write to `pages` by `writer`, or else by whatever host code is running, and makes
    /// those writable that are in `parts` and were not. Safe to call in a signal handler if the
    /// writer is given.
    pub(super) fn write(
        &mut self,
        space: &Reservation,
        parts: &[Range<usize>; 3],
        pages: Range<Page>,
        writer: Option<Writer>,
    ) -> Noted {
        let mut noted = Noted::Nothing;
        let mut writer = writer;
        for part in parts.iter().map(to_pages) {
            for page in pages.start.max(part.start)..pages.end.min(part.end) {
                let bit = 1 << (page % 64);
                if !self.active || self.written[page as usize / 64] & bit != 0 {
                    continue;
                }
                // SAFETY: it gives more access to what is mapped.
                if unsafe { space.protect(to_bytes(&(page..page + 1)), Access::ReadWrite) }.is_err() {
                    return Noted::Refused;
                }
                let writer = *writer.get_or_insert_with(|| (self.find_writer)());
                // There is room for each page once, and never more than that is needed.
                if self.log.len() < self.log.capacity() {
                    self.written[page as usize / 64] |= bit;
                    self.log.push((page, writer));
                }
                noted = Noted::Written;
            }
        }
        noted
    }

    /// Notes that everything is writable from now on, and who writes is not known.
    pub(super) fn end(&mut self) {
        (self.active, self.complete) = (false, false);
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

//! Copies and compares what a slot holds with its image, and asks the kernel what was written.
//!
//! Nothing here decides anything, and nothing changes what is mapped.

use super::image::{Image, to_bytes, to_pages};
use super::page_set::Page;
use crate::sys::mapping::Reservation;
use crate::sys::pagemap;
use std::ops::Range;

/// The address space of a slot, beside the image that it carries.
pub(super) struct Contents<'a> {
    pub(super) space: &'a Reservation,
    pub(super) image: &'a Image,
}

/// The outcome of asking the kernel about pages: whether some of those that it lists are in huge
/// pages.
pub(super) type Scanned = Result<bool, pagemap::Unavailable>;

impl Contents<'_> {
    /// Fills fresh zeros from the image.
    ///
    /// # Safety
    /// State and initial memory must be mapped writable, and nothing may refer into them.
    pub(super) unsafe fn fill(&self) {
        for extent in self.image.state.iter().chain(&self.image.extents) {
            let at = self.space.at(extent.range.start);
            // SAFETY: `at` checks the start; the compiler made the extents to fit state and memory,
            // which are mapped.
            unsafe { std::ptr::copy_nonoverlapping(extent.bytes.as_ptr(), at, extent.bytes.len()) }
        }
    }

    /// Copies a range back from the image.
    ///
    /// # Safety
    /// The range must be mapped writable, and nothing refer into it.
    #[inline]
    pub(super) unsafe fn restore(&self, range: Range<usize>) {
        self.image.contents(range, |at, len, bytes| {
            let at = self.space.at(at);
            // SAFETY: the caller's promise; `contents` keeps to the range.
            unsafe {
                match bytes {
                    Some(bytes) => std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, len),
                    None => std::ptr::write_bytes(at, 0, len),
                }
            }
        });
    }

    /// Returns the pages of some runs that equal the image.
    ///
    /// # Safety
    /// The pages must be readable, and nobody may write to them meanwhile.
    pub(super) unsafe fn equal(&self, runs: impl Iterator<Item = Range<Page>>) -> Vec<Range<Page>> {
        let mut equal: Vec<Range<Page>> = Vec::new();
        // SAFETY: the caller's promise.
        for page in runs.flatten().filter(|page| unsafe { self.equals(*page) }) {
            match equal.last_mut() {
                Some(last) if last.end == page => last.end += 1,
                _ => equal.push(page..page + 1),
            }
        }
        equal
    }

    /// Compares a page with the image.
    ///
    /// # Safety
    /// The page must be readable, and nobody may write to it meanwhile.
    pub(super) unsafe fn equals(&self, page: Page) -> bool {
        let mut equals = true;
        self.image.contents(to_bytes(&(page..page + 1)), |at, len, bytes| {
            // SAFETY: the caller's promise.
            let now = unsafe { std::slice::from_raw_parts(self.space.at(at), len) };
            equals &= bytes.map_or_else(|| now.iter().all(|byte| *byte == 0), |bytes| now == bytes);
        });
        equals
    }

    /// Lists the pages of a range that were written, of which about `expected` runs are expected.
    pub(super) fn scan(&self, range: Range<usize>, expected: usize, into: &mut Vec<Range<Page>>) -> Scanned {
        let base = self.space.addresses().start;
        pagemap::written(base + range.start..base + range.end, base + self.image.zeros_from(), expected, |run| {
            into.push(to_pages(&(run.start - base..run.end - base)));
        })
    }
}

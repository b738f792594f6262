//! Looking at a slot, without changing anything: for snapshots and statistics.

use super::image::{Image, MEMORY_AT, to_bytes, to_pages};
use super::page_set::Page;
use crate::sys::mapping::{PAGE, Reservation};
use crate::sys::pagemap;
use minirt_compiler::instance::image::Extent;
use std::ops::Range;

/// Where the pages of an instance or memory are, in numbers of host pages (4 KiB). Where the system cannot tell
/// (Linux before 6.7), all are counted as untouched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageStats {
    /// Never looked at since they were mapped or discarded. They take no memory.
    pub untouched: u64,
    /// Read as zeros from the kernel's one page of zeros. They take no memory.
    pub zero: u64,
    /// Shared with the image, and so with all instances of the module.
    pub shared: u64,
    /// The instance's own, in memory.
    pub private: u64,
    /// The instance's own, swapped out.
    pub swapped: u64,
}

impl PageStats {
    /// Those of two ranges together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            untouched: self.untouched + other.untouched,
            zero: self.zero + other.zero,
            shared: self.shared + other.shared,
            private: self.private + other.private,
            swapped: self.swapped + other.swapped,
        }
    }
}

/// What there is to see of a slot.
pub(super) struct SlotView<'a> {
    pub(super) space: &'a Reservation,
    pub(super) image: Option<&'a Image>,
    /// Bytes of memory that are accessible.
    pub(super) accessible: usize,
}

impl SlotView<'_> {
    /// What the slot holds now, as parts of another image: the state in `state`, and the memory.
    pub(super) fn capture(&self, state: Range<usize>) -> (Vec<u8>, Vec<Extent>) {
        // SAFETY: state and accessible memory are readable, and nobody writes them, because who calls this has the store.
        let bytes =
            |range: Range<usize>| unsafe { std::slice::from_raw_parts(self.space.at(range.start), range.len()) };
        let mut extents: Vec<(u64, Vec<u8>)> = Vec::new();
        for page in self.perhaps_not_zero() {
            let now = bytes(to_bytes(&(page..page + 1)));
            let offset = (page as usize * PAGE - MEMORY_AT) as u64;
            match extents.last_mut() {
                _ if now.iter().all(|byte| *byte == 0) => {}
                Some((start, last)) if *start + last.len() as u64 == offset => last.extend_from_slice(now),
                _ => extents.push((offset, now.to_vec())),
            }
        }
        let extents = extents.into_iter().map(|(offset, bytes)| Extent { offset, bytes: bytes.into() }).collect();
        (bytes(state).to_vec(), extents)
    }

    /// The pages of memory that can be other than zero, in order: the image's, and those that were written.
    fn perhaps_not_zero(&self) -> Vec<Page> {
        let memory = MEMORY_AT..MEMORY_AT + self.accessible;
        let mut runs = Vec::new();
        let base = self.space.addresses().start;
        let written = pagemap::written(base + memory.start..base + memory.end, 0, |run| {
            runs.push(to_pages(&(run.start - base..run.end - base)));
        });
        if written.is_err() {
            return to_pages(&memory).collect();
        }
        let extents = self.image.into_iter().flat_map(|image| &image.extents);
        runs.extend(extents.map(|e| to_pages(&e.range)));
        let mut pages: Vec<Page> = runs.into_iter().flatten().collect();
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// What the pages of state (with the host cell) and memory are; `memory_only` leaves the state out.
    pub(super) fn page_stats(&self, memory_only: bool) -> PageStats {
        let memory = MEMORY_AT..MEMORY_AT + self.accessible;
        let state = 0..self.image.filter(|_| !memory_only).map_or(0, |image| image.room);
        let mut stats = PageStats { untouched: ((state.len() + memory.len()) / PAGE) as u64, ..PageStats::default() };
        for range in [state, memory] {
            let base = self.space.addresses().start;
            let _ = pagemap::kinds(base + range.start..base + range.end, |kind, run| {
                let pages = (run.len() / PAGE) as u64;
                stats.untouched -= pages;
                *match kind {
                    pagemap::Kind::Shared => &mut stats.shared,
                    pagemap::Kind::Zero => &mut stats.zero,
                    pagemap::Kind::Private => &mut stats.private,
                    pagemap::Kind::Swapped => &mut stats.swapped,
                } += pages;
            });
        }
        stats
    }
}

//! Reads a slot without changing it, for snapshots and statistics.

use super::attribution::{Attribution, Writer};
use super::contents::Contents;
use super::image::{Content, Image, MEMORY_AT, to_bytes, to_pages};
use super::page_set::{Page, PageSet};
use crate::sys::mapping::{Reservation, page_size};
use crate::sys::pagemap;
use minirt_compiler::base::sparse::SparseBytes;
use minirt_compiler::instance::image::Extent;
use rustc_hash::FxHashMap;
use std::ops::Range;

/// Where the pages of an instance or memory are, in numbers of host pages (4 KiB). Where the system
/// cannot tell (Linux before 6.7), all are counted as untouched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageStats {
    /// Not accessed since they were mapped or discarded. They take no memory.
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
    /// Adds the counts of two ranges.
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

/// The kind of a page of an instance ([`PageRun`](crate::PageRun)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PageKind {
    /// Not part of the memory now: an access traps.
    Inaccessible,
    /// Not accessed since it was mapped or discarded: it takes no memory.
    Untouched,
    /// Read as zeros from the kernel's one page of zeros: it takes no memory.
    Zero,
    /// Shared with the image, and so with all instances of the module.
    Shared,
    /// The instance's own, in memory or swapped out, with the same bytes as in the image.
    Equal,
    /// The instance's own, in memory or swapped out, with other bytes than in the image.
    Changed,
}

/// A part of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Host cell and state.
    State,
    /// Linear memory.
    Memory,
}

/// The pages of a part of a slot.
#[derive(Debug)]
pub(crate) struct SlotPages {
    /// Runs of equal pages that touch, from the part's first accessible page to its last.
    pub(crate) runs: Vec<SlotRun>,
    /// Whether writes outside the hot set fault.
    pub(crate) tracked: bool,
    /// Whether all first writers of this run are known.
    pub(crate) attributed: bool,
}

/// Neighbouring pages that have all in common. Pages count from the start of the part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotRun {
    pub(crate) pages: Range<u64>,
    pub(crate) kind: PageKind,
    pub(crate) hot: bool,
    pub(crate) grown: bool,
    pub(crate) writer: Option<Writer>,
}

/// Pages with their kind, as the kernel tells it. `None` stands for pages that are not in memory.
type KnownRun = (Range<Page>, Option<pagemap::Kind>);

/// The parts of a slot that can be inspected.
pub(crate) struct SlotView<'a> {
    pub(super) space: &'a Reservation,
    pub(super) image: Option<&'a Image>,
    /// Bytes of memory that are accessible.
    pub(super) accessible: usize,
    /// The pages that are writable, if others are not.
    pub(super) hot: Option<&'a PageSet>,
    pub(super) attribution: Option<&'a Attribution>,
}

impl SlotView<'_> {
    /// Copies the slot's contents, as parts of another image: the state in `state`, and the memory.
    pub(crate) fn capture(&self, state: Range<usize>) -> (SparseBytes, Vec<Extent>) {
        // SAFETY: state and accessible memory are readable. Nobody writes them, because the caller
        // has the store.
        let bytes =
            |range: Range<usize>| unsafe { std::slice::from_raw_parts(self.space.at(range.start), range.len()) };
        let mut captured = SparseBytes::new(state.len());
        for page in self.perhaps_not_zero(&state, |image| &image.state) {
            let page = to_bytes(&(page..page + 1));
            let part = page.start.max(state.start)..page.end.min(state.end);
            captured.put(part.start - state.start, bytes(part));
        }
        let mut extents: Vec<(u64, Vec<u8>)> = Vec::new();
        let memory = MEMORY_AT..MEMORY_AT + self.accessible;
        for page in self.perhaps_not_zero(&memory, |image| &image.extents) {
            let now = bytes(to_bytes(&(page..page + 1)));
            let offset = (page as usize * page_size() - MEMORY_AT) as u64;
            match extents.last_mut() {
                _ if now.iter().all(|byte| *byte == 0) => {}
                Some((start, last)) if *start + last.len() as u64 == offset => last.extend_from_slice(now),
                _ => extents.push((offset, now.to_vec())),
            }
        }
        let extents = extents.into_iter().map(|(offset, bytes)| Extent { offset, bytes: bytes.into() }).collect();
        (captured, extents)
    }

    /// Returns the pages of a range that can be other than zero, in order: those where the image
    /// has `contents`, and those that were written.
    fn perhaps_not_zero(&self, range: &Range<usize>, contents: fn(&Image) -> &Vec<Content>) -> Vec<Page> {
        let touched =
            |bytes: &Range<usize>| (bytes.start / page_size()) as Page..bytes.end.div_ceil(page_size()) as Page;
        let all = touched(range);
        let mut runs = Vec::new();
        let base = self.space.addresses().start;
        let bytes = to_bytes(&all);
        let written = pagemap::written(base + bytes.start..base + bytes.end, 0, 0, |run| {
            runs.push(to_pages(&(run.start - base..run.end - base)));
        });
        if written.is_err() {
            return all.collect();
        }
        runs.extend(self.image.into_iter().flat_map(contents).map(|part| touched(&part.range)));
        let mut pages: Vec<Page> = runs.into_iter().flatten().filter(|page| all.contains(page)).collect();
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// Counts the pages of state (with the host cell) and memory by their kind. `memory_only`
    /// leaves the state out.
    pub(crate) fn page_stats(&self, memory_only: bool) -> PageStats {
        let memory = MEMORY_AT..MEMORY_AT + self.accessible;
        let state = 0..self.image.filter(|_| !memory_only).map_or(0, |image| image.room);
        let mut stats =
            PageStats { untouched: ((state.len() + memory.len()) / page_size()) as u64, ..PageStats::default() };
        for range in [state, memory] {
            let base = self.space.addresses().start;
            let _ = pagemap::kinds(base + range.start..base + range.end, |kind, run| {
                let pages = (run.len() / page_size()) as u64;
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

    /// Lists the pages of a part, in runs.
    ///
    /// # Errors
    /// When the kernel cannot say.
    pub(crate) fn pages(&self, part: Part) -> Result<SlotPages, pagemap::Unavailable> {
        let bytes = match part {
            Part::State => 0..self.image.map_or(0, |image| image.room),
            Part::Memory => MEMORY_AT..MEMORY_AT + self.accessible,
        };
        let known = self.known_kinds(&bytes)?;
        let log = self.attribution.map_or(&[][..], Attribution::log);
        let writers: FxHashMap<Page, Writer> = log.iter().copied().collect();
        let cuts = self.cuts(log);
        let first = to_pages(&bytes).start;
        let mut runs: Vec<SlotRun> = Vec::new();
        for (run, kind) in known {
            for piece in self.pieces(run, kind, &cuts) {
                let run = SlotRun {
                    pages: u64::from(piece.start - first)..u64::from(piece.end - first),
                    kind: if kind == Some(pagemap::Kind::Private) { self.private(piece.start) } else { named(kind) },
                    hot: self.hot.is_some_and(|hot| hot.covers(&piece)),
                    grown: self.image.is_some_and(|image| to_bytes(&piece).start >= image.memory().end),
                    // The host may have asked for a page, and then not written it.
                    writer: writers.get(&piece.start).copied().filter(|_| kind == Some(pagemap::Kind::Private)),
                };
                push(&mut runs, run);
            }
        }
        let attributed = self.attribution.is_some_and(Attribution::is_complete);
        Ok(SlotPages { runs, tracked: self.hot.is_some(), attributed })
    }

    /// Lists the kinds of the pages in a range, as the kernel tells them, without gaps.
    fn known_kinds(&self, bytes: &Range<usize>) -> Result<Vec<KnownRun>, pagemap::Unavailable> {
        let base = self.space.addresses().start;
        let mut known = Vec::new();
        let mut at = to_pages(bytes).start;
        pagemap::kinds(base + bytes.start..base + bytes.end, |kind, run| {
            let run = to_pages(&(run.start - base..run.end - base));
            known.extend((at < run.start).then_some((at..run.start, None)));
            // Whether a page is the instance's own does not depend on where the kernel keeps it.
            let kind = if kind == pagemap::Kind::Swapped { pagemap::Kind::Private } else { kind };
            at = run.end;
            known.push((run, Some(kind)));
        })?;
        let end = to_pages(bytes).end;
        known.extend((at < end).then_some((at..end, None)));
        Ok(known)
    }

    /// Returns the pages at which a run may begin or end although the kernel sees no difference:
    /// sorted.
    fn cuts(&self, log: &[(Page, Writer)]) -> Vec<Page> {
        let hot = self.hot.into_iter().flat_map(PageSet::iter).flat_map(|run| [run.start, run.end]);
        let written = log.iter().flat_map(|(page, _)| [*page, *page + 1]);
        let grown = self.image.map(|image| to_pages(&image.memory()).end);
        let mut cuts: Vec<Page> = hot.chain(written).chain(grown).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// Cuts a run into pieces whose pages have all in common; private pages one by one.
    fn pieces(&self, run: Range<Page>, kind: Option<pagemap::Kind>, cuts: &[Page]) -> Vec<Range<Page>> {
        if kind == Some(pagemap::Kind::Private) {
            return run.map(|page| page..page + 1).collect();
        }
        let inside = cuts[cuts.partition_point(|cut| *cut <= run.start)..].iter().take_while(|cut| **cut < run.end);
        let mut at = run.start;
        inside.copied().chain([run.end]).map(|end| std::mem::replace(&mut at, end)..end).collect()
    }

    /// Returns the kind of a private page, by comparing it with the image.
    fn private(&self, page: Page) -> PageKind {
        let Some(image) = self.image else { return PageKind::Changed };
        // SAFETY: the page is readable. Nobody writes it, because the caller has the store.
        let equal = unsafe { Contents { space: self.space, image }.equals(page) };
        if equal { PageKind::Equal } else { PageKind::Changed }
    }
}

fn named(kind: Option<pagemap::Kind>) -> PageKind {
    match kind {
        None => PageKind::Untouched,
        Some(pagemap::Kind::Zero) => PageKind::Zero,
        Some(pagemap::Kind::Shared) => PageKind::Shared,
        Some(pagemap::Kind::Private | pagemap::Kind::Swapped) => PageKind::Changed,
    }
}

/// Appends a run, or makes the last one longer.
fn push(runs: &mut Vec<SlotRun>, run: SlotRun) {
    match runs.last_mut() {
        Some(last) if (SlotRun { pages: run.pages.clone(), ..last.clone() }) == run => last.pages.end = run.pages.end,
        _ => runs.push(run),
    }
}

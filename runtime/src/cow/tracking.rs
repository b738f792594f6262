//! Tracks writes: most of a slot is write-protected, so that a reset knows which pages can have
//! changed.
//!
//! The head, grown memory and the plan's pages are writable. A write to any other page faults, and
//! the page joins the plan. So all differences from the image lie in the head, in grown memory, or
//! in the plan's pages.

use super::budget::MappingBudget;
use super::image::{Image, to_bytes, to_pages};
use super::page_set::{Page, PageSet};
use super::policy::{MISSES, TrackingPlan};
use crate::sys::mapping::{Access, Reservation};
use rustix::io::Result;
use std::ops::Range;

/// The tracking of one slot: its writable pages, and the mappings that they take.
#[derive(Debug)]
pub(super) struct Tracking {
    plan: TrackingPlan,
    /// Writes of this run outside the pages that were writable when it began.
    misses: u32,
    budget: MappingBudget,
}

impl Tracking {
    /// Write-protects all of an image's pages but those of the plan. Returns `None` if the process
    /// has no mappings left for that.
    ///
    /// # Errors
    /// When the kernel refuses; some of the pages may be write-protected then.
    ///
    /// # Safety
    /// The slot must be clean, with all of these pages writable, and nobody may hold a reference
    /// into it.
    pub(super) unsafe fn begin(space: &Reservation, image: &Image, plan: TrackingPlan) -> Result<Option<Self>> {
        let mut budget = MappingBudget::default();
        if !budget.take(mappings(&plan.writable)) {
            return Ok(None);
        }
        for range in image.protectable() {
            for gap in plan.writable.gaps(to_pages(&range)) {
                // SAFETY: the caller's promise: no reference is there to become invalid.
                unsafe { space.protect(to_bytes(&gap), Access::Read) }?;
            }
        }
        Ok(Some(Self { plan, misses: 0, budget }))
    }

    /// Goes on with a plan if the slot follows it already. Returns whether it does.
    pub(super) fn go_on(&mut self, plan: &TrackingPlan) -> bool {
        let same = self.plan == *plan;
        if same {
            self.misses = 0;
            // Each miss has taken two mappings, whether or not it split one.
            self.budget.shrink_to(mappings(&plan.writable));
        }
        same
    }

    pub(super) fn plan(&self) -> &TrackingPlan {
        &self.plan
    }

    /// Returns the writable pages.
    #[inline]
    pub(super) fn writable(&self) -> &PageSet {
        &self.plan.writable
    }

    /// Counts this run's writes outside the pages that were writable when it began.
    #[inline]
    pub(super) fn misses(&self) -> u32 {
        self.misses
    }

    /// Forgets this run's misses, after a reset that learns nothing from them.
    pub(super) fn forget_misses(&mut self) {
        self.misses = 0;
    }

    #[cfg(test)]
    pub(super) fn mappings(&self) -> usize {
        self.budget.taken()
    }

    /// Returns the part of `pages` that is write-protected, with what may lie between.
    #[inline]
    pub(super) fn protected_part(&self, image: &Image, pages: Range<Page>) -> Range<Page> {
        let inside = |range: &Range<usize>| {
            let range = to_pages(range);
            pages.start.max(range.start)..pages.end.min(range.end)
        };
        let part = image.protectable().iter().map(inside).find(|part| !part.is_empty()).unwrap_or(0..0);
        if self.plan.writable.covers(&part) { 0..0 } else { part }
    }

    /// Makes write-protected pages writable, and adds them to the plan. Returns false if this run
    /// has had too many of them, or there is no room or mapping for another, or the kernel refuses:
    /// tracking has to end then. Safe to call in a signal handler: it does not allocate.
    #[cold]
    pub(super) fn add(&mut self, space: &Reservation, pages: Range<Page>) -> bool {
        self.misses += 1;
        // SAFETY: it gives more access to what is mapped.
        let make_writable = |pages: &Range<Page>| unsafe { space.protect(to_bytes(pages), Access::ReadWrite) };
        // The pages join the plan last: a reset must not write to what is still protected. If the
        // kernel refuses, the slot stops tracking as a whole, so that a part that did become
        // writable is not overlooked.
        self.misses <= MISSES
            && self.budget.take(2)
            && make_writable(&pages).is_ok()
            && self.plan.writable.insert(pages)
    }

    /// Makes everything writable again that tracking had protected. The mappings are given back
    /// when `self` is dropped.
    ///
    /// # Errors
    /// When the kernel refuses: what is writable is not known then.
    pub(super) fn end(space: &Reservation, image: &Image) -> Result<()> {
        for range in image.protectable() {
            // SAFETY: it gives more access to what is mapped. It joins mappings, so it takes no new
            // one.
            unsafe { space.protect(range, Access::ReadWrite) }?;
        }
        Ok(())
    }
}

/// Returns the most mappings that a set of writable pages adds. It cuts out each run; state and
/// memory have two already.
pub(super) fn mappings(writable: &PageSet) -> usize {
    2 * writable.len() + 1
}

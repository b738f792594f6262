//! Tracks writes: most of a slot is write-protected, so that a reset knows which pages can have
//! changed.
//!
//! The head, grown memory and the plan's pages are writable. A write to any other page faults, and
//! the page joins the plan. So all differences from the image lie in the head, in grown memory, or
//! in the plan's pages.
//!
//! [`Tracking`] is what holds in one run. [`Adaptation`] follows the policy's advice from run to
//! run. Where one of its functions fails, a part of the slot may be write-protected, or writable
//! and not tracked: the slot is poisoned then.

use super::budget::MappingBudget;
use super::image::{Image, to_bytes, to_pages};
use super::page_set::{Page, PageSet};
use super::policy::{self, Advice, MISSES, Pacing, ResetStrategy, Room, TrackingPlan};
use crate::sys::mapping::{Access, Reservation, page_size};
use rustix::io::Result;
use std::ops::Range;

/// The tracking of one slot: its writable pages, and the mappings that they take.
#[derive(Debug)]
pub(super) struct Tracking {
    plan: TrackingPlan,
    /// Writes of this run outside the pages that were writable when it began.
    misses: u32,
    /// A run of writable pages, perhaps none: that which the host wrote to last. Programs copy and
    /// fill the same few places again and again, and each time the host asks. It stays writable as
    /// long as this tracking lasts.
    recent: Range<Page>,
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
        Ok(Some(Self { plan, misses: 0, recent: 0..0, budget }))
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

    /// Returns whether all of `pages` is known to be writable, without a search.
    #[inline]
    pub(super) fn was_written(&self, pages: &Range<Page>) -> bool {
        self.recent.start <= pages.start && pages.end <= self.recent.end
    }

    /// Remembers where the host writes, if all of it is writable and in the plan. Returns whether
    /// it is. `pages` must not be empty.
    #[inline]
    pub(super) fn note_writable(&mut self, pages: &Range<Page>) -> bool {
        let run = self.plan.writable.run_around(pages);
        let found = run.is_some();
        self.recent = run.unwrap_or(self.recent.clone());
        found
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
}

/// Makes everything writable again that tracking protects. The mappings are given back when the
/// [`Tracking`] is dropped.
///
/// # Errors
/// When the kernel refuses: what is writable is not known then.
pub(super) fn lift_protection(space: &Reservation, image: &Image) -> Result<()> {
    for range in image.protectable() {
        // SAFETY: it gives more access to what is mapped. It joins mappings, so it takes no new
        // one.
        unsafe { space.protect(range, Access::ReadWrite) }?;
    }
    Ok(())
}

/// Returns the most mappings that a set of writable pages adds. It cuts out each run; state and
/// memory have two already.
pub(super) fn mappings(writable: &PageSet) -> usize {
    2 * writable.len() + 1
}

/// How a slot's writes are tracked in this run, and when that is thought over.
#[derive(Debug)]
pub(super) struct Adaptation {
    /// `None` if everything accessible is writable.
    pub(super) tracking: Option<Tracking>,
    /// The tracking that ended in this run. It is freed at the next reset, because a signal handler
    /// cannot free.
    ended: Option<Tracking>,
    pub(super) pacing: Pacing,
}

impl Adaptation {
    pub(super) fn new() -> Self {
        Self { tracking: None, ended: None, pacing: Pacing::new() }
    }

    /// Begins with what instances of an image are known to write. The slot must be clean, without
    /// tenant, and everything accessible in it writable.
    pub(super) fn begin(&mut self, space: &Reservation, image: &Image, strategy: ResetStrategy) -> Result<()> {
        *self = Self::new();
        match strategy {
            ResetStrategy::Scan | ResetStrategy::Discard => Ok(()),
            _ => image.habits.expected().map_or(Ok(()), |plan| self.track(space, image, plan)),
        }
    }

    /// Teaches the policy what a tracked run has shown: that it wrote outside the hot set, or that
    /// runs no longer write some `stale` pages. Returns advice for the next runs.
    pub(super) fn learn(&self, image: &Image, stale: &[Range<Page>], strategy: ResetStrategy) -> Option<Advice> {
        let tracking = self.tracking.as_ref()?;
        if stale.is_empty() {
            return Some(image.habits.missed(tracking.plan(), self.pacing.missed_recently(), room(image, strategy)));
        }
        let hot: Vec<Range<Page>> = tracking.writable().iter().collect();
        Some(image.habits.narrowed(&policy::difference(&hot, stale), room(image, strategy)))
    }

    /// Follows advice from the next run on. The slot must be clean but for that, without tenant.
    pub(super) fn follow(&mut self, space: &Reservation, image: &Image, advice: Advice) -> Result<()> {
        self.pacing.begin_anew();
        match advice {
            Advice::Track(plan) => self.track(space, image, plan),
            Advice::Scan { resets } => {
                self.pacing.stay_untracked(resets);
                if self.tracking.is_some() { self.stop_tracking(space, image) } else { Ok(()) }
            }
        }
    }

    /// Makes regions smaller if a check has found that runs write only `written` of their pages.
    /// The slot must be clean but for that, without tenant.
    pub(super) fn shrink_regions(
        &mut self,
        space: &Reservation,
        image: &Image,
        written: &[Range<Page>],
        strategy: ResetStrategy,
    ) -> Result<()> {
        let checked = self.tracking.as_ref().filter(|_| self.pacing.verification.is_over());
        let advice = checked.and_then(|it| image.habits.shrunk(it.plan(), written, room(image, strategy)));
        advice.map_or(Ok(()), |advice| self.follow(space, image, advice))
    }

    /// Write-protects everything but the plan's pages.
    fn track(&mut self, space: &Reservation, image: &Image, plan: TrackingPlan) -> Result<()> {
        if let Some(tracking) = &mut self.tracking {
            if tracking.go_on(&plan) {
                return Ok(());
            }
            self.stop_tracking(space, image)?;
        }
        // SAFETY: the slot has no tenant, so nothing refers into it, and everything is writable
        // without tracking.
        match unsafe { Tracking::begin(space, image, plan) } {
            Ok(Some(tracking)) => self.tracking = Some(tracking),
            Ok(None) => self.pacing.lack_mappings(),
            Err(_) => {
                self.pacing.lack_mappings();
                self.stop_tracking(space, image)?;
            }
        }
        Ok(())
    }

    /// Makes pages writable that tracking protects, and returns whether any was. They join the hot
    /// set. After too many such writes in a run, makes everything writable. Safe to call in a
    /// signal handler.
    #[inline]
    pub(super) fn allow_write(&mut self, space: &Reservation, image: &Image, pages: Range<Page>) -> Result<bool> {
        let Some(tracking) = &mut self.tracking else { return Ok(false) };
        let protected = tracking.protected_part(image, pages);
        if protected.is_empty() {
            return Ok(false);
        }
        if !tracking.add(space, protected) {
            self.stop_tracking(space, image)?;
            self.pacing.give_up_tracking();
        }
        Ok(true)
    }

    /// Makes everything writable until the next reset, for a host that wants all of the memory.
    pub(super) fn make_all_writable(&mut self, space: &Reservation, image: &Image) -> Result<()> {
        if self.tracking.is_some() {
            self.stop_tracking(space, image)?;
            // Once in a while this does not matter. If it happens often, tracking is not worth its
            // system calls.
            self.pacing.all_made_writable(&image.habits);
        }
        Ok(())
    }

    /// Makes everything writable that tracking protects. Safe to call in a signal handler, once for
    /// each run.
    #[cold]
    fn stop_tracking(&mut self, space: &Reservation, image: &Image) -> Result<()> {
        lift_protection(space, image)?;
        self.ended = self.tracking.take();
        Ok(())
    }

    /// Frees what [`Adaptation::stop_tracking`] could not.
    #[inline]
    pub(super) fn free_ended(&mut self) {
        self.ended = None;
    }

    #[cfg(test)]
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }
}

/// Returns how much an image and the process allow a plan.
pub(super) fn room(image: &Image, strategy: ResetStrategy) -> Room {
    let pages = image.protectable().iter().map(|range| range.len() / page_size()).sum();
    Room { pages, mappings: MappingBudget::left(), strategy }
}

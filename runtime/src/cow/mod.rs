//! Copy-on-write instantiation: the life of a slot, from beginning to end.
//!
//! An **image** is an instance as it stands before any of its code ran: the state and linear memory
//! that the compiler computed, completed with what only this process knows. It is made once per
//! module or snapshot and never changes. Where the system allows, it is a sealed memory file, or
//! part of an artifact.
//!
//! A **slot** is the address space of one instance (`minirt_compiler::instance::layout` has the
//! picture). *Binding* a slot to an image maps the image into it, privately: reading shares the
//! image's pages, writing copies them.
//!
//! ```text
//!   Slot::new ──> Blank ──bind──> Clean ──mark_dirty──> Dirty ──reset──> Clean ...
//!                   ^               │                     │
//!                   └───── unmap ───┴─────────────────────┴── a system call failed half-way ──> Poisoned ──unmap──> Blank
//! ```
//!
//! - *Blank*: no image, and nothing accessible.
//! - *Clean*: the image, then zeros up to the initial size of the memory, then nothing accessible.
//!   An instance is born by taking a clean slot that carries its module's image. If the last tenant
//!   had the same module, that takes no system call.
//! - *Dirty*: code may have run. The memory may have *grown*: pages after the initial size became
//!   accessible, as zeros. When the instance dies, *reset* undoes what it wrote. If nothing ran,
//!   there is nothing to undo.
//! - *Poisoned*: a system call failed half-way, so what is writable is not known, and neither is
//!   what was written. Reset refuses such a slot. It is *unmapped* before it is used again, or
//!   given back to the system if even that fails.
//!
//! A reset always copies back the *head* (sizes, globals, flags: some hundred bytes). What else a
//! run may have written depends on the slot:
//!
//! - In a **tracked** slot only the pages that instances of its image are known to write are
//!   writable: the **hot set**. A write elsewhere faults, the signal handler calls
//!   [`Slot::handle_write_fault`], and the page joins the set. So the set is complete, and a reset
//!   copies it back without a system call. Where the pages are too scattered for that, the set
//!   consists of a few regions, and a reset asks the kernel about these (`tracking`).
//! - In an **untracked** slot everything accessible is writable. A reset asks the kernel about all
//!   of it, or discards it.
//! - In an **attributed** slot only the head is writable at first. Each page faults once, and the
//!   slot notes who wrote it (`attribution`). It is reset like an untracked slot. This is a tool
//!   for people who examine a program.
//!
//! `policy` remembers what the instances of an image write, and advises a slot whether to be
//! tracked.
//!
//! When the kernel writes to a protected page (`read` into guest memory), nothing faults: the
//! system call fails. So host code that hands guest memory to the kernel or to an embedder calls
//! [`Slot::make_writable`] or [`Slot::make_all_writable`] first.
//!
//! The host cell at the slot's start is not part of this: it belongs to the user of the slot, and
//! each instance writes it anew. Nothing here knows functions, types or stores.

mod page_set;
mod budget;
mod policy;
mod image;
mod tracking;
mod attribution;
mod inspect;

pub(crate) use attribution::{FindWriter, Writer};
pub(crate) use image::{Image, ImageParts, NoFiles};
pub use inspect::{PageKind, PageStats};
pub(crate) use inspect::{Part, SlotPages, SlotRun};
pub use policy::ResetStrategy;

use crate::sys::mapping::{Access, PAGE, Reservation};
use crate::sys::memfd::ImageFile;
use crate::sys::pagemap;
use crate::vmctx::VmContext;
use attribution::{Attribution, Noted};
use budget::MappingBudget;
use image::{MEMORY_AT, to_bytes, to_pages};
use inspect::SlotView;
use minirt_compiler::instance::image::Extent;
use minirt_compiler::instance::layout::{MEMORY_RESERVED, SLOT_SIZE, VMCTX};
use page_set::Page;
use policy::{Advice, Pacing, Room, TrackingPlan, count};
use rustix::io::{Errno, Result};
use std::ops::Range;
use std::sync::Arc;
use tracking::Tracking;

/// The address space of one instance, and which image it carries.
#[derive(Debug)]
pub(crate) struct Slot {
    space: Reservation,
    state: State,
    /// The image that is mapped. `None` in a blank slot, and while a reset is at work.
    image: Option<Arc<Image>>,
    /// Bytes of memory that are accessible now: at least the image's initial size.
    accessible: usize,
    /// `None` if everything accessible is writable.
    tracking: Option<Tracking>,
    /// The tracking that ended in this run. It is freed at the next reset, because a signal handler
    /// cannot free.
    ended_tracking: Option<Tracking>,
    /// Who wrote which page first, if the engine was asked to note that. The slot is not tracked
    /// then.
    attribution: Option<Attribution>,
    pacing: Pacing,
    residue: Residue,
}

/// Where a slot is in its life. The order matters to [`Slot::mark_dirty`], which never moves a slot
/// backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Blank,
    Clean,
    Dirty,
    Poisoned,
}

/// If host cell and head take no more pages than this, they are not counted.
const FEW_OWN_PAGES: usize = 4;

/// Private pages that a clean slot keeps in memory.
#[derive(Debug, Default)]
struct Residue {
    /// Pages of host cell and head, if they are more than a few.
    own_pages: usize,
    /// Pages of state and initial memory.
    pages: usize,
    /// Pages after the initial memory, left by instances that had grown. They are zero.
    grown_pages: usize,
    /// Where these end, in bytes from the slot's start.
    grown_end: usize,
}

/// The way in which a slot was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetKind {
    /// Nothing had run.
    Nothing,
    /// The hot set was copied back.
    HotSet,
    /// The pages that the kernel listed as written were copied back.
    Scan,
    /// All pages were discarded.
    Discard,
}

/// The rules that a reset follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResetRules {
    pub(crate) strategy: ResetStrategy,
    /// Pages that the slot may keep in memory. If there are more, they are discarded.
    pub(crate) resident_budget: usize,
}

impl Slot {
    /// Reserves address space for a blank slot.
    ///
    /// # Errors
    /// When there is no address space left.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            space: Reservation::new(SLOT_SIZE as usize)?,
            state: State::Blank,
            image: None,
            accessible: 0,
            tracking: None,
            ended_tracking: None,
            attribution: None,
            pacing: Pacing::new(),
            residue: Residue::default(),
        })
    }

    /// Makes the slot note who writes each page first. This stays so for all images that the slot
    /// will carry.
    pub(crate) fn attribute_writes(&mut self, find_writer: FindWriter) {
        self.attribution = Some(Attribution::new(find_writer));
    }

    pub(crate) fn vmctx(&self) -> VmContext {
        // SAFETY: VMCTX is less than the reservation's length, so this is inside it and not null.
        VmContext(unsafe { self.space.base().add(VMCTX as usize) })
    }

    /// Returns the addresses that belong to this slot, guards included.
    pub(crate) fn addresses(&self) -> Range<usize> {
        self.space.addresses()
    }

    /// Counts the bytes of memory that are accessible.
    pub(crate) fn memory_size(&self) -> usize {
        self.accessible
    }

    /// Counts the private pages that this slot keeps in memory while it is clean, besides its host
    /// cell and head.
    pub(crate) fn resident_pages(&self) -> usize {
        self.residue.pages + self.residue.grown_pages
    }

    /// Counts the pages of host cell and head, if they are more than a few. They stay until the
    /// slot is unmapped.
    #[inline]
    pub(crate) fn own_pages(&self) -> usize {
        self.residue.own_pages
    }

    // Bind.

    /// Makes this slot clean and carry `image`.
    ///
    /// # Errors
    /// When the kernel refuses a mapping; the slot is then blank, or poisoned.
    pub(crate) fn bind(&mut self, image: &Arc<Image>, strategy: ResetStrategy) -> Result<()> {
        if self.state != State::Blank {
            self.unmap()?;
        }
        self.bind_blank(image, strategy, true).or_else(|error| match self.state {
            State::Blank => self.bind_blank(image, strategy, false),
            _ => Err(error),
        })
    }

    fn bind_blank(&mut self, image: &Arc<Image>, strategy: ResetStrategy, with_guard: bool) -> Result<()> {
        self.state = State::Poisoned; // Until all is done.
        let bound = self.map(image, with_guard).and_then(|()| match self.attribution {
            None => self.track_expected(image, strategy),
            Some(_) => self.begin_attribution(image),
        });
        match bound {
            Ok(()) => {
                self.image = Some(Arc::clone(image));
                self.state = State::Clean;
                self.residue.own_pages = Some(image.own_pages()).filter(|pages| *pages > FEW_OWN_PAGES).unwrap_or(0);
            }
            Err(_) => _ = self.unmap(), // If this fails as well, the slot stays poisoned.
        }
        bound
    }

    /// Maps an image. Behind the end of the state's file is a guard. `with_guard` maps the file
    /// that far, so that the guard takes no mapping of its own. A system that counts everything
    /// mapped as memory in use may refuse that; without it, the guard stays blank, and so
    /// inaccessible. The same holds where the file goes on after the state.
    fn map(&mut self, image: &Image, with_guard: bool) -> Result<()> {
        // SAFETY: a slot that is being bound has no tenant, so nothing refers into it.
        unsafe {
            if let Ok(files) = &image.files {
                let state = if with_guard && !files.state.goes_on() { MEMORY_AT } else { files.state.len() };
                self.space.map_file(0..state, files.state.as_fd(), files.state.offset(), Access::ReadWrite)?;
                let filled = files.memory.as_ref().map_or(0, ImageFile::len);
                if let Some(file) = &files.memory {
                    let range = MEMORY_AT..MEMORY_AT + filled;
                    self.space.map_file(range, file.as_fd(), file.offset(), Access::ReadWrite)?;
                }
                self.space.map_zeros(MEMORY_AT + filled..image.memory().end, Access::ReadWrite)?;
            } else {
                self.space.map_zeros(0..image.room, Access::ReadWrite)?;
                self.space.map_zeros(image.memory(), Access::ReadWrite)?;
                self.copy_in(image);
            }
        }
        self.accessible = image.memory;
        Ok(())
    }

    /// Fills fresh zeros from the image.
    ///
    /// # Safety
    /// State and initial memory must be mapped writable, and nothing may refer into them.
    unsafe fn copy_in(&self, image: &Image) {
        for extent in image.state.iter().chain(&image.extents) {
            let at = self.space.at(extent.range.start);
            // SAFETY: `at` checks the start; the compiler made the extents to fit state and memory,
            // which are mapped.
            unsafe { std::ptr::copy_nonoverlapping(extent.bytes.as_ptr(), at, extent.bytes.len()) }
        }
    }

    // While the instance lives.

    /// Notes that from now on the slot's contents may differ from its image.
    #[inline]
    pub(crate) fn mark_dirty(&mut self) {
        self.state = self.state.max(State::Dirty);
    }

    /// Makes memory accessible up to `bytes` (whole pages). It never shrinks.
    ///
    /// # Errors
    /// When the kernel refuses; the memory has its old size then.
    pub(crate) fn grow_memory(&mut self, bytes: usize) -> Result<()> {
        assert!(bytes as u64 <= MEMORY_RESERVED, "a memory larger than its reservation");
        if bytes > self.accessible {
            self.mark_dirty();
            let range = MEMORY_AT + self.accessible..MEMORY_AT + bytes;
            // SAFETY: the range is inaccessible, so nothing refers to it. It reads as zeros: that
            // is how `unmap` and `reset_grown` leave what lies after a memory.
            unsafe { self.space.protect(range.clone(), Access::ReadWrite) }
                .inspect_err(|_| self.undo_growth(range.clone()))?;
            if let Some(attribution) = self.attribution.as_mut().filter(|attribution| attribution.is_active()) {
                // SAFETY: as above.
                unsafe { attribution.protect(&self.space, range.clone()) }.inspect_err(|_| self.undo_growth(range))?;
            }
            self.accessible = bytes;
        }
        Ok(())
    }

    /// Closes a range again after growing failed. To the kernel the range may have been two
    /// mappings, of which it changed the first.
    #[cold]
    fn undo_growth(&mut self, range: Range<usize>) {
        // SAFETY: the range lies after the memory, so nothing refers to it.
        if unsafe { self.space.protect(range, Access::None) }.is_err() {
            self.state = State::Poisoned;
        }
    }

    /// Handles a write at `address` that has faulted. If the page is write-protected because the
    /// slot is tracked, makes it writable and returns true: the write can be tried again. `pc` is
    /// the instruction. Safe to call in a signal handler.
    pub(crate) fn handle_write_fault(&mut self, address: usize, pc: usize) -> bool {
        let Some(at) = address.checked_sub(self.addresses().start) else { return false };
        let page = (at / PAGE) as Page;
        if self.attribution.is_some() {
            return self.attribute(page..page + 1, Some(Writer { pc, host: false })).unwrap_or(false);
        }
        let protected = self.protected_part(page..page + 1);
        !protected.is_empty() && self.write_outside_hot_set(protected).is_ok()
    }

    /// Makes `bytes` bytes at an address writable, for host code and system calls: their writes do
    /// not fault, but fail.
    ///
    /// # Errors
    /// When the kernel refuses.
    #[inline]
    pub(crate) fn make_writable(&mut self, address: *const u8, bytes: usize) -> Result<()> {
        if (self.tracking.is_none() && self.attribution.is_none()) || bytes == 0 {
            return Ok(());
        }
        let at = address as usize - self.addresses().start;
        let pages = (at / PAGE) as Page..(at + bytes).div_ceil(PAGE) as Page;
        if self.attribution.is_some() {
            return self.attribute(pages, None).map(|_| ());
        }
        let protected = self.protected_part(pages);
        if protected.is_empty() { Ok(()) } else { self.write_outside_hot_set(protected) }
    }

    /// Makes all of the memory writable, for anybody, the kernel included. No write faults until
    /// the next reset.
    ///
    /// # Errors
    /// When the kernel refuses.
    #[inline]
    pub(crate) fn make_all_writable(&mut self) -> Result<()> {
        if self.tracking.is_none() && self.attribution.is_none() { Ok(()) } else { self.lift_protection() }
    }

    #[cold]
    fn lift_protection(&mut self) -> Result<()> {
        let Some(image) = self.image.clone() else { return Ok(()) };
        if self.attribution.is_some() {
            return self.end_attribution(&image);
        }
        self.stop_tracking(&image)?;
        // Once in a while this does not matter. If it happens often, tracking is not worth its
        // system calls.
        self.pacing.all_made_writable(&image.habits);
        Ok(())
    }

    /// Returns the part of `pages` that is read-only because the slot is tracked, with what may lie
    /// between.
    fn protected_part(&self, pages: Range<Page>) -> Range<Page> {
        match (&self.image, &self.tracking) {
            (Some(image), Some(tracking)) => tracking.protected_part(image, pages),
            _ => 0..0,
        }
    }

    /// Makes pages writable that no run was expected to write. After too many such writes in a run,
    /// makes all pages writable.
    #[cold]
    fn write_outside_hot_set(&mut self, pages: Range<Page>) -> Result<()> {
        let (Some(tracking), Some(image)) = (&mut self.tracking, &self.image) else { return Ok(()) };
        if tracking.add(&self.space, pages) {
            return Ok(());
        }
        let image = Arc::clone(image);
        self.stop_tracking(&image)?;
        self.pacing.give_up_tracking();
        Ok(())
    }

    /// Makes everything writable that is accessible. Safe to call in a signal handler, once for
    /// each run.
    fn stop_tracking(&mut self, image: &Image) -> Result<()> {
        // Until all is done, a part may be writable that no reset would look at.
        let state = std::mem::replace(&mut self.state, State::Poisoned);
        Tracking::end(&self.space, image)?;
        self.state = state;
        self.ended_tracking = self.tracking.take();
        Ok(())
    }

    /// Notes who writes to some pages, and makes them writable. Returns whether any was
    /// write-protected. Safe to call in a signal handler if the writer is given.
    #[cold]
    fn attribute(&mut self, pages: Range<Page>, writer: Option<Writer>) -> Result<bool> {
        let (Some(attribution), Some(image)) = (&mut self.attribution, &self.image) else { return Ok(false) };
        let [tables, memory] = image.protectable();
        let grown = memory.end..MEMORY_AT + self.accessible;
        match attribution.write(&self.space, &[tables, memory, grown], pages, writer) {
            Noted::Nothing => Ok(false),
            Noted::Written => Ok(true),
            Noted::Refused => {
                let image = Arc::clone(image);
                self.end_attribution(&image).map(|()| true)
            }
        }
    }

    /// Makes everything writable that is accessible. Writes from now on have no known writer.
    #[cold]
    fn end_attribution(&mut self, image: &Image) -> Result<()> {
        let state = std::mem::replace(&mut self.state, State::Poisoned);
        Tracking::end(&self.space, image)?;
        let grown = image.memory().end..MEMORY_AT + self.accessible;
        if !grown.is_empty() {
            // SAFETY: it gives more access to what is mapped.
            unsafe { self.space.protect(grown, Access::ReadWrite) }?;
        }
        self.attribution.as_mut().into_iter().for_each(Attribution::end);
        self.state = state;
        Ok(())
    }

    /// Write-protects all but the head of a clean slot. If the kernel refuses, this run has no
    /// known writers.
    fn begin_attribution(&mut self, image: &Image) -> Result<()> {
        let Some(attribution) = &mut self.attribution else { return Ok(()) };
        // SAFETY: the slot has no tenant, so nothing refers into it.
        match unsafe { attribution.begin(&self.space, image) } {
            Ok(()) => Ok(()),
            Err(_) => self.end_attribution(image),
        }
    }

    /// Resets a slot whose writes are attributed, like an untracked one, and write-protects it
    /// again.
    #[cold]
    fn reset_attributed(&mut self, image: &Arc<Image>, rules: ResetRules) -> Result<ResetKind> {
        let strategy = match rules.strategy {
            ResetStrategy::Discard => ResetStrategy::Discard,
            _ => ResetStrategy::Scan,
        };
        self.end_attribution(image)?;
        let kind = self.reset_to(image, ResetRules { strategy, ..rules })?;
        self.begin_attribution(image)?;
        Ok(kind)
    }

    // Reset.

    /// Makes a slot clean after its instance has died, or to start the instance again. Returns how
    /// that was done.
    ///
    /// # Errors
    /// When the kernel refuses, or the slot is poisoned. It then has to be unmapped: another reset
    /// fails as well.
    #[inline]
    pub(crate) fn reset(&mut self, rules: ResetRules) -> Result<ResetKind> {
        if self.state == State::Clean {
            return Ok(ResetKind::Nothing);
        }
        let image = self.image.take_if(|_| self.state == State::Dirty).ok_or(Errno::NOTRECOVERABLE)?;
        self.state = State::Poisoned; // Until all is done, also if something panics.
        let kind = match self.attribution {
            None => self.reset_to(&image, rules)?,
            Some(_) => self.reset_attributed(&image, rules)?,
        };
        self.image = Some(image);
        self.ended_tracking = None;
        self.state = State::Clean;
        Ok(kind)
    }

    fn reset_to(&mut self, image: &Arc<Image>, rules: ResetRules) -> Result<ResetKind> {
        // Nobody uses the instance at this time, so nothing refers into its slot; the head is
        // always writable. (Copying nothing is slow on some processors.)
        let head = image.head.iter().filter(|part| !part.is_empty());
        // SAFETY: as above.
        unsafe { head.for_each(|part| self.restore(image, part.clone())) };
        if self.accessible > image.memory || self.residue.grown_pages > rules.resident_budget {
            self.reset_grown(image, rules)?;
        }
        let rules = ResetRules { resident_budget: rules.resident_budget - self.residue.grown_pages, ..rules };
        match self.tracking.take_if(|tracking| !tracking.plan().regions) {
            Some(tracking) => self.reset_hot_set(image, tracking, rules),
            None => self.reset_scanned(image, rules),
        }
    }

    /// Copies a range back from the image.
    ///
    /// # Safety
    /// The range must be mapped writable, and nothing refer into it.
    #[inline]
    unsafe fn restore(&self, image: &Image, range: Range<usize>) {
        image.contents(range, |at, len, bytes| {
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

    /// Resets a tracked slot, in which nothing outside the hot set can have been written.
    fn reset_hot_set(&mut self, image: &Arc<Image>, tracking: Tracking, rules: ResetRules) -> Result<ResetKind> {
        let hot = tracking.writable();
        let pages = hot.pages();
        if pages > rules.resident_budget {
            self.tracking = Some(tracking);
            return self.discard(image);
        }
        let compare = self.pacing.verification.tick(self.residue.pages, pages);
        let unwritten = if compare { self.unwritten(image, hot.iter()) } else { Vec::new() };
        for run in hot.iter() {
            // SAFETY: the hot set is mapped writable, and the slot has no tenant.
            unsafe { self.restore(image, to_bytes(&run)) }
        }
        self.residue.pages = pages;
        let missed = tracking.misses() > 0;
        let stale = if compare { self.pacing.verification.conclude(pages, unwritten) } else { Vec::new() };
        if missed || !stale.is_empty() {
            self.learn_from_tracked(image, tracking, &stale, rules.strategy)?;
        } else {
            self.pacing.tick_without_miss();
            self.tracking = Some(tracking);
        }
        Ok(ResetKind::HotSet)
    }

    /// Resets a slot in which anything, or anything in some regions, could be written.
    fn reset_scanned(&mut self, image: &Arc<Image>, rules: ResetRules) -> Result<ResetKind> {
        let mut written = Vec::new();
        if rules.strategy == ResetStrategy::Discard || self.scan_writable(image, &mut written).is_err() {
            return self.discard(image);
        }
        let before = std::mem::replace(&mut self.residue.pages, count(&written));
        if self.residue.pages > rules.resident_budget {
            return self.discard(image);
        }
        let ask = self.tracking.is_none() && self.pacing.tick_untracked() && rules.strategy != ResetStrategy::Scan;
        let missed = self.tracking.as_ref().is_some_and(|tracking| tracking.misses() > 0);
        if self.tracking.is_some() && !missed {
            self.pacing.tick_without_miss();
        }
        let compare = self.pacing.verification.tick(before, self.residue.pages);
        let unwritten = if compare || ask { self.unwritten(image, written.iter().cloned()) } else { Vec::new() };
        for run in &written {
            // SAFETY: the kernel lists only pages that were writable, and still are; the slot has
            // no tenant.
            unsafe { self.restore(image, to_bytes(run)) }
        }
        if ask {
            let written = policy::difference(&written, &unwritten);
            let advice = image.habits.observed(&written, self.pacing.gave_up_again(), room(image, rules.strategy));
            self.give_up_pages(image, &unwritten)?;
            self.follow(image, advice)?;
        } else if let Some(tracking) = self.tracking.take_if(|_| missed) {
            self.learn_from_tracked(image, tracking, &[], rules.strategy)?;
        } else if compare {
            let stale = self.pacing.verification.conclude(self.residue.pages, unwritten);
            self.give_up_pages(image, &stale)?;
            self.shrink_regions(image, &policy::difference(&written, &stale), rules.strategy)?;
        }
        Ok(ResetKind::Scan)
    }

    /// Makes regions smaller if a check has found that runs write only `written` of their pages.
    fn shrink_regions(&mut self, image: &Image, written: &[Range<Page>], strategy: ResetStrategy) -> Result<()> {
        let checked = self.tracking.as_ref().filter(|_| self.pacing.verification.is_over());
        let advice = checked.and_then(|it| image.habits.shrunk(it.plan(), written, room(image, strategy)));
        advice.map_or(Ok(()), |advice| self.follow(image, advice))
    }

    /// Lists the pages that were written, in all that is writable but the head and grown memory.
    fn scan_writable(&self, image: &Image, into: &mut Vec<Range<Page>>) -> Scanned {
        match &self.tracking {
            Some(tracking) => tracking.writable().iter().try_for_each(|run| self.scan(image, to_bytes(&run), into)),
            None => image.protectable().into_iter().try_for_each(|range| self.scan(image, range, into)),
        }
    }

    /// Lists the pages of a range that were written.
    fn scan(&self, image: &Image, range: Range<usize>, into: &mut Vec<Range<Page>>) -> Scanned {
        let base = self.addresses().start;
        // There were no more runs than pages the last time.
        let expected = self.residue.pages;
        pagemap::written(base + range.start..base + range.end, base + image.zeros_from(), expected, |run| {
            into.push(to_pages(&(run.start - base..run.end - base)));
        })
    }

    /// Gives all private pages back to the kernel. The image shows again, and zeros where it has no
    /// bytes.
    fn discard(&mut self, image: &Image) -> Result<ResetKind> {
        for range in image.protectable() {
            // SAFETY: the slot has no tenant.
            unsafe { self.space.discard(range) }?;
        }
        if image.files.is_err() {
            // Without files there are only zeros behind the pages. The image's part of them has to
            // be writable.
            Tracking::end(&self.space, image)?;
            self.tracking = None;
            // SAFETY: state and initial memory are mapped writable, and the slot has no tenant.
            unsafe { self.copy_in(image) };
        }
        self.residue.pages = 0;
        if let Some(tracking) = &mut self.tracking {
            tracking.forget_misses();
        }
        Ok(ResetKind::Discard)
    }

    /// Makes grown memory inaccessible again, and zero. Earlier instances may have grown farther:
    /// the pages that they left count among those that are kept.
    fn reset_grown(&mut self, image: &Image, rules: ResetRules) -> Result<()> {
        let grown = image.memory().end..MEMORY_AT + self.accessible;
        let reached = grown.start..grown.end.max(self.residue.grown_end);
        let mut written = Vec::new();
        let scanned =
            rules.strategy != ResetStrategy::Discard && self.scan(image, reached.clone(), &mut written).is_ok();
        let pages = count(&written);
        let keep = scanned && pages <= rules.resident_budget;
        // SAFETY: the slot has no tenant, and grown memory is mapped writable.
        unsafe {
            if keep {
                let here = |run: &Range<Page>| to_bytes(run).start..to_bytes(run).end.min(grown.end);
                written.iter().map(here).filter(|run| !run.is_empty()).for_each(|run| self.restore(image, run));
            } else {
                self.space.discard(reached.clone())?;
            }
            self.space.protect(grown, Access::None)?;
        }
        self.accessible = image.memory;
        self.residue.grown_pages = if keep { pages } else { 0 };
        self.residue.grown_end = if keep { reached.end } else { 0 };
        Ok(())
    }

    /// Returns the pages of some runs that equal the image.
    fn unwritten(&self, image: &Image, runs: impl Iterator<Item = Range<Page>>) -> Vec<Range<Page>> {
        let mut unwritten: Vec<Range<Page>> = Vec::new();
        for page in runs.flatten().filter(|page| !self.differs(image, *page)) {
            match unwritten.last_mut() {
                Some(last) if last.end == page => last.end += 1,
                _ => unwritten.push(page..page + 1),
            }
        }
        unwritten
    }

    fn differs(&self, image: &Image, page: Page) -> bool {
        let mut differs = false;
        image.contents(to_bytes(&(page..page + 1)), |at, len, bytes| {
            // SAFETY: the page is readable, and nobody writes it: the slot has no tenant.
            let now = unsafe { std::slice::from_raw_parts(self.space.at(at), len) };
            differs |= bytes.map_or_else(|| now.iter().any(|byte| *byte != 0), |bytes| now != bytes);
        });
        differs
    }

    // How to track the next run.

    fn track_expected(&mut self, image: &Image, strategy: ResetStrategy) -> Result<()> {
        self.pacing = Pacing::new();
        match strategy {
            ResetStrategy::Scan | ResetStrategy::Discard => Ok(()),
            _ => image.habits.expected().map_or(Ok(()), |plan| self.track(image, plan)),
        }
    }

    /// Learns from a tracked run that wrote outside the hot set, or from `stale` pages that runs no
    /// longer write.
    #[cold]
    fn learn_from_tracked(
        &mut self,
        image: &Image,
        tracking: Tracking,
        stale: &[Range<Page>],
        strategy: ResetStrategy,
    ) -> Result<()> {
        let advice = if stale.is_empty() {
            image.habits.missed(tracking.plan(), self.pacing.missed_recently(), room(image, strategy))
        } else {
            let hot: Vec<Range<Page>> = tracking.writable().iter().collect();
            image.habits.narrowed(&policy::difference(&hot, stale), room(image, strategy))
        };
        self.tracking = Some(tracking);
        self.give_up_pages(image, stale)?;
        self.follow(image, advice)
    }

    /// Gives private pages back that equal the image. Where the image is not a file, they stay:
    /// nothing is behind them.
    fn give_up_pages(&mut self, image: &Image, pages: &[Range<Page>]) -> Result<()> {
        if image.files.is_ok() {
            for run in pages {
                // SAFETY: the slot has no tenant.
                unsafe { self.space.discard(to_bytes(run)) }?;
            }
            self.residue.pages = self.residue.pages.saturating_sub(count(pages));
        }
        Ok(())
    }

    fn follow(&mut self, image: &Image, advice: Advice) -> Result<()> {
        self.pacing.begin_anew();
        match advice {
            Advice::Track(plan) => self.track(image, plan),
            Advice::Scan { resets } => {
                self.pacing.stay_untracked(resets);
                if self.tracking.is_some() { self.stop_tracking(image) } else { Ok(()) }
            }
        }
    }

    /// Write-protects everything but the plan's pages. The slot must be clean, or about to be.
    fn track(&mut self, image: &Image, plan: TrackingPlan) -> Result<()> {
        if let Some(tracking) = &mut self.tracking {
            if tracking.go_on(&plan) {
                return Ok(());
            }
            self.stop_tracking(image)?;
        }
        // SAFETY: the slot has no tenant, so nothing refers into it, and everything is writable
        // without tracking.
        match unsafe { Tracking::begin(&self.space, image, plan) } {
            Ok(Some(tracking)) => self.tracking = Some(tracking),
            Ok(None) => self.pacing.lack_mappings(),
            Err(_) => {
                self.pacing.lack_mappings();
                self.stop_tracking(image)?;
            }
        }
        Ok(())
    }

    // Inspect.

    fn view(&self) -> SlotView<'_> {
        SlotView {
            space: &self.space,
            image: self.image.as_deref(),
            accessible: self.accessible,
            hot: self.tracking.as_ref().map(Tracking::writable),
            attribution: self.attribution.as_ref(),
        }
    }

    /// Copies the slot's contents, as parts of another image: the state in `state`, and the memory.
    pub(crate) fn capture(&self, state: Range<usize>) -> (Vec<u8>, Vec<Extent>) {
        self.view().capture(state)
    }

    /// Counts the pages of state (with the host cell) and memory by their kind. `memory_only`
    /// leaves the state out.
    pub(crate) fn page_stats(&self, memory_only: bool) -> PageStats {
        self.view().page_stats(memory_only)
    }

    /// Lists the pages of a part, in runs.
    ///
    /// # Errors
    /// When the kernel cannot say.
    pub(crate) fn pages(&self, part: Part) -> std::result::Result<SlotPages, pagemap::Unavailable> {
        self.view().pages(part)
    }

    // Unmap.

    /// Makes a slot blank, whatever is mapped in it. Afterwards no image is mapped, and the slot
    /// keeps none alive.
    ///
    /// # Errors
    /// When the kernel refuses; the slot must then not be used again.
    pub(crate) fn unmap(&mut self) -> Result<()> {
        self.state = State::Poisoned;
        // SAFETY: the slot has no tenant, so nothing refers into it.
        unsafe { self.space.map_zeros(0..SLOT_SIZE as usize, Access::None) }?;
        self.image = None;
        self.accessible = 0;
        self.tracking = None;
        self.ended_tracking = None;
        self.pacing = Pacing::new();
        self.residue = Residue::default();
        self.state = State::Blank;
        Ok(())
    }
}

/// The outcome of asking the kernel about pages.
type Scanned = std::result::Result<(), pagemap::Unavailable>;

/// Returns how much an image and the process allow a plan.
fn room(image: &Image, strategy: ResetStrategy) -> Room {
    let pages = image.protectable().iter().map(|range| range.len() / PAGE).sum();
    Room { pages, mappings: MappingBudget::left(), strategy }
}

#[cfg(test)]
mod tests;

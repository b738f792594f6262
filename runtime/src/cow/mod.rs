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
//! A reset always copies back the *head*: the sizes, globals and flags that code can change,
//! usually some ten bytes. The *constants* (globals that no instruction sets) follow it. It copies
//! them back only if somebody wrote them for this instance, as [`Slot::make_constants_writable`]
//! says. What else a run may have written depends on the slot:
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
mod contents;
mod tracking;
mod attribution;
mod inspect;

pub(crate) use attribution::{FindWriter, Writer};
pub(crate) use image::{Image, ImageParts, NoFiles};
pub use inspect::{PageKind, PageStats};
pub(crate) use inspect::{Part, SlotRun, SlotView};
pub use policy::ResetStrategy;

use crate::sys::limits::counts_what_could_be_written;
use crate::sys::mapping::{Access, Reservation, page_size};
use crate::sys::memfd::ImageFile;
use crate::vmctx::VmContext;
use attribution::Attribution;
use contents::{Contents, Scanned};
use image::{MEMORY_AT, to_bytes};
use minirt_compiler::instance::layout::{MEMORY_RESERVED, SLOT_SIZE, VMCTX};
use page_set::Page;
use policy::count;
use rustix::io::{Errno, Result};
use std::ops::Range;
use std::sync::Arc;
use tracking::{Adaptation, Tracking, room};

/// The address space of one instance, and which image it carries.
#[derive(Debug)]
pub(crate) struct Slot {
    space: Reservation,
    state: State,
    /// The image that is mapped. `None` in a blank slot, and while a reset is at work.
    image: Option<Arc<Image>>,
    /// Bytes of memory that are accessible now: at least the image's initial size.
    accessible: usize,
    /// Which writes are tracked, and what earlier runs have taught.
    adaptation: Adaptation,
    /// Who wrote which page first, if the engine was asked to note that. The slot is not tracked
    /// then.
    attribution: Option<Attribution>,
    /// Whether the constants may differ from the image.
    constants_written: bool,
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

/// Returns how many of so many pages of host cell and head are counted.
fn counted(pages: usize) -> usize {
    if pages > FEW_OWN_PAGES { pages } else { 0 }
}

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
    /// The pages that the kernel listed as written in the hot set's regions were copied back.
    Regions,
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
            adaptation: Adaptation::new(),
            attribution: None,
            constants_written: false,
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

    /// Returns the slot for reading.
    pub(crate) fn view(&self) -> SlotView<'_> {
        SlotView {
            space: &self.space,
            image: self.image.as_deref(),
            accessible: self.accessible,
            hot: self.adaptation.tracking.as_ref().map(Tracking::writable),
            attribution: self.attribution.as_ref(),
        }
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
        let with_guard = !counts_what_could_be_written();
        self.bind_blank(image, strategy, with_guard).or_else(|error| match self.state {
            State::Blank => self.bind_blank(image, strategy, false),
            _ => Err(error),
        })
    }

    fn bind_blank(&mut self, image: &Arc<Image>, strategy: ResetStrategy, with_guard: bool) -> Result<()> {
        self.state = State::Poisoned; // Until all is done.
        let bound = self.map(image, with_guard).and_then(|()| match self.attribution {
            None => self.adaptation.begin(&self.space, image, strategy),
            Some(_) => self.begin_attribution(image),
        });
        match bound {
            Ok(()) => {
                self.image = Some(Arc::clone(image));
                self.state = State::Clean;
                self.residue.own_pages = counted(image.own_pages());
            }
            Err(_) => _ = self.unmap(), // If this fails as well, the slot stays poisoned.
        }
        bound
    }

    /// Maps an image. Behind the end of the state's file is a guard. `with_guard` maps the file
    /// that far, so that the guard takes no mapping of its own. A system that counts everything
    /// mapped as memory in use would count the guard, and may refuse it; without it, the guard
    /// stays blank, and so inaccessible. The same holds where the file goes on after the state.
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
                self.contents(image).fill();
            }
        }
        self.accessible = image.memory;
        Ok(())
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

    /// Makes the constants writable, for whoever gives them other values than the image has. From
    /// then on anybody may change them, until the next reset copies them back.
    ///
    /// # Errors
    /// When the kernel refuses, or the slot carries no image.
    #[cold]
    pub(crate) fn make_constants_writable(&mut self) -> Result<()> {
        let constants = self.image.as_ref().ok_or(Errno::NOTRECOVERABLE)?.constants.clone();
        self.mark_dirty();
        self.constants_written = true;
        // Their last page may be that of a table, too.
        self.make_writable(self.space.at(constants.start), constants.len())?;
        self.residue.own_pages = self.residue.own_pages.max(counted(constants.end.div_ceil(page_size())));
        Ok(())
    }

    /// Handles a write at `address` that has faulted. If the page is write-protected, makes it
    /// writable and returns true: the write can be tried again. `pc` is the instruction. Safe to
    /// call in a signal handler.
    pub(crate) fn handle_write_fault(&mut self, address: usize, pc: usize) -> bool {
        let Some(at) = address.checked_sub(self.addresses().start) else { return false };
        let page = (at / page_size()) as Page;
        self.allow_write(page..page + 1, Some(Writer { pc, host: false })).unwrap_or(false)
    }

    /// Makes `bytes` bytes at an address writable, for host code and system calls: their writes do
    /// not fault, but fail.
    ///
    /// # Errors
    /// When the kernel refuses.
    #[inline]
    pub(crate) fn make_writable(&mut self, address: *const u8, bytes: usize) -> Result<()> {
        if self.is_writable() || bytes == 0 {
            return Ok(());
        }
        let at = address as usize - self.addresses().start;
        let pages = (at / page_size()) as Page..(at + bytes).div_ceil(page_size()) as Page;
        let tracking = self.adaptation.tracking.as_mut();
        if tracking.is_some_and(|it| it.was_written(&pages) || it.note_writable(&pages)) {
            return Ok(());
        }
        self.allow_write(pages, None).map(|_| ())
    }

    /// Makes all of the memory writable, for anybody, the kernel included. No write faults until
    /// the next reset.
    ///
    /// # Errors
    /// When the kernel refuses.
    #[inline]
    pub(crate) fn make_all_writable(&mut self) -> Result<()> {
        if self.is_writable() { Ok(()) } else { self.lift_protection() }
    }

    /// Returns whether all that is accessible is known to be writable.
    #[inline]
    fn is_writable(&self) -> bool {
        self.adaptation.tracking.is_none() && self.attribution.is_none()
    }

    /// Makes pages writable that are write-protected, and returns whether any was. `writer` is
    /// `None` if host code writes. Safe to call in a signal handler if it is given.
    fn allow_write(&mut self, pages: Range<Page>, writer: Option<Writer>) -> Result<bool> {
        let Some(image) = &self.image else { return Ok(false) };
        let allowed = match &mut self.attribution {
            None => self.adaptation.allow_write(&self.space, image, pages),
            Some(attribution) => attribution.allow_write(&self.space, image, self.accessible, pages, writer),
        };
        // A part may be writable that no reset would look at.
        allowed.inspect_err(|_| self.state = State::Poisoned)
    }

    #[cold]
    fn lift_protection(&mut self) -> Result<()> {
        let Some(image) = &self.image else { return Ok(()) };
        let lifted = match &mut self.attribution {
            None => self.adaptation.make_all_writable(&self.space, image),
            Some(attribution) => attribution.end(&self.space, image, self.accessible),
        };
        // As above.
        lifted.inspect_err(|_| self.state = State::Poisoned)
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
        self.adaptation.free_ended();
        self.state = State::Clean;
        Ok(kind)
    }

    fn reset_to(&mut self, image: &Arc<Image>, rules: ResetRules) -> Result<ResetKind> {
        // Nobody uses the instance at this time, so nothing refers into its slot; the head is
        // always writable. (Copying nothing is slow on some processors.)
        let head = image.head.iter().filter(|part| !part.is_empty());
        // SAFETY: as above.
        unsafe { head.for_each(|part| self.contents(image).restore(part.clone())) };
        if self.constants_written {
            // SAFETY: as above; they were made writable, and nothing was write-protected since.
            unsafe { self.contents(image).restore(image.constants.clone()) };
            self.constants_written = false;
        }
        if self.accessible > image.memory || self.residue.grown_pages > rules.resident_budget {
            self.reset_grown(image, rules)?;
        }
        let rules = ResetRules { resident_budget: rules.resident_budget - self.residue.grown_pages, ..rules };
        match self.adaptation.tracking.take_if(|tracking| !tracking.plan().regions) {
            Some(tracking) => self.reset_hot_set(image, tracking, rules),
            None => self.reset_scanned(image, rules),
        }
    }

    /// Resets a tracked slot, in which nothing outside the hot set can have been written.
    fn reset_hot_set(&mut self, image: &Arc<Image>, tracking: Tracking, rules: ResetRules) -> Result<ResetKind> {
        let hot = tracking.writable();
        let pages = hot.pages();
        if pages > rules.resident_budget {
            self.adaptation.tracking = Some(tracking);
            return self.discard(image);
        }
        let compare = self.adaptation.pacing.verification.tick(self.residue.pages, pages);
        let unwritten = if compare { self.unwritten(image, hot.iter()) } else { Vec::new() };
        for run in hot.iter() {
            // SAFETY: the hot set is mapped writable, and the slot has no tenant.
            unsafe { self.contents(image).restore(to_bytes(&run)) }
        }
        self.residue.pages = pages;
        let missed = tracking.misses() > 0;
        self.adaptation.tracking = Some(tracking);
        let verification = &mut self.adaptation.pacing.verification;
        let stale = if compare { verification.conclude(pages, unwritten) } else { Vec::new() };
        if missed || !stale.is_empty() {
            self.adapt_tracked(image, &stale, rules.strategy)?;
        } else {
            self.adaptation.pacing.tick_without_miss();
        }
        Ok(ResetKind::HotSet)
    }

    /// Resets a slot in which anything, or anything in some regions, could be written.
    fn reset_scanned(&mut self, image: &Arc<Image>, rules: ResetRules) -> Result<ResetKind> {
        let mut written = Vec::new();
        let scanned = match rules.strategy {
            ResetStrategy::Discard => None,
            _ => self.scan_writable(image, &mut written).ok(),
        };
        let Some(huge) = scanned else { return self.discard(image) };
        let before = std::mem::replace(&mut self.residue.pages, count(&written));
        if huge && image.files.is_ok() && policy::rose(before, self.residue.pages) {
            // The kernel has put pages into huge ones that were never written.
            let unwritten = self.unwritten(image, written.iter().cloned());
            self.give_up_pages(image, &unwritten)?;
            written = policy::difference(&written, &unwritten);
        }
        if self.residue.pages > rules.resident_budget {
            return self.discard(image);
        }
        let Adaptation { tracking, pacing, .. } = &mut self.adaptation;
        let kind = if tracking.is_some() { ResetKind::Regions } else { ResetKind::Scan };
        let ask = tracking.is_none() && pacing.tick_untracked() && rules.strategy != ResetStrategy::Scan;
        let missed = tracking.as_ref().is_some_and(|tracking| tracking.misses() > 0);
        if tracking.is_some() && !missed {
            pacing.tick_without_miss();
        }
        let compare = pacing.verification.tick(before, self.residue.pages);
        let unwritten = if compare || ask { self.unwritten(image, written.iter().cloned()) } else { Vec::new() };
        for run in &written {
            // SAFETY: the kernel lists only pages that were writable, and still are; the slot has
            // no tenant.
            unsafe { self.contents(image).restore(to_bytes(run)) }
        }
        if ask {
            let written = policy::difference(&written, &unwritten);
            let strike = self.adaptation.pacing.gave_up_again();
            let advice = image.habits.observed(&written, strike, room(image, rules.strategy));
            self.give_up_pages(image, &unwritten)?;
            self.adaptation.follow(&self.space, image, advice)?;
        } else if missed {
            self.adapt_tracked(image, &[], rules.strategy)?;
        } else if compare {
            let stale = self.adaptation.pacing.verification.conclude(self.residue.pages, unwritten);
            self.give_up_pages(image, &stale)?;
            let written = policy::difference(&written, &stale);
            self.adaptation.shrink_regions(&self.space, image, &written, rules.strategy)?;
        }
        Ok(kind)
    }

    /// Resets a slot whose writes are attributed, like an untracked one, and write-protects it
    /// again.
    #[cold]
    fn reset_attributed(&mut self, image: &Arc<Image>, rules: ResetRules) -> Result<ResetKind> {
        let strategy = match rules.strategy {
            ResetStrategy::Discard => ResetStrategy::Discard,
            _ => ResetStrategy::Scan,
        };
        if let Some(attribution) = &mut self.attribution {
            attribution.end(&self.space, image, self.accessible)?;
        }
        let kind = self.reset_to(image, ResetRules { strategy, ..rules })?;
        self.begin_attribution(image)?;
        Ok(kind)
    }

    /// Write-protects all but the head of a clean slot.
    fn begin_attribution(&mut self, image: &Image) -> Result<()> {
        // SAFETY: the slot has no tenant, so nothing refers into it.
        self.attribution.as_mut().map_or(Ok(()), |attribution| unsafe { attribution.begin(&self.space, image) })
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
            tracking::lift_protection(&self.space, image)?;
            self.adaptation.tracking = None;
            // SAFETY: state and initial memory are mapped writable, and the slot has no tenant.
            unsafe { self.contents(image).fill() };
        }
        self.residue.pages = 0;
        if let Some(tracking) = &mut self.adaptation.tracking {
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
        let scanned = rules.strategy != ResetStrategy::Discard
            && self.contents(image).scan(reached.clone(), self.residue.pages, &mut written).is_ok();
        let pages = count(&written);
        let keep = scanned && pages <= rules.resident_budget;
        // SAFETY: the slot has no tenant, and grown memory is mapped writable.
        unsafe {
            if keep {
                let here = |run: &Range<Page>| to_bytes(run).start..to_bytes(run).end.min(grown.end);
                written
                    .iter()
                    .map(here)
                    .filter(|run| !run.is_empty())
                    .for_each(|run| self.contents(image).restore(run));
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

    /// Lists the pages that were written, in all that is writable but the head and grown memory.
    fn scan_writable(&self, image: &Image, into: &mut Vec<Range<Page>>) -> Scanned {
        // There were no more runs than pages the last time.
        let (contents, expected) = (self.contents(image), self.residue.pages);
        let mut scan = |huge, range| Ok(huge | contents.scan(range, expected, into)?);
        match &self.adaptation.tracking {
            Some(tracking) => tracking.writable().iter().try_fold(false, |huge, run| scan(huge, to_bytes(&run))),
            None => image.protectable().into_iter().try_fold(false, scan),
        }
    }

    /// Returns the pages of some runs that equal the image.
    fn unwritten(&self, image: &Image, runs: impl Iterator<Item = Range<Page>>) -> Vec<Range<Page>> {
        // SAFETY: the slot has no tenant, and the runs are readable.
        unsafe { self.contents(image).equal(runs) }
    }

    fn contents<'a>(&'a self, image: &'a Image) -> Contents<'a> {
        Contents { space: &self.space, image }
    }

    /// Learns from a tracked run that wrote outside the hot set, or from `stale` pages that runs no
    /// longer write.
    #[cold]
    fn adapt_tracked(&mut self, image: &Image, stale: &[Range<Page>], strategy: ResetStrategy) -> Result<()> {
        let advice = self.adaptation.learn(image, stale, strategy);
        self.give_up_pages(image, stale)?;
        advice.map_or(Ok(()), |advice| self.adaptation.follow(&self.space, image, advice))
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
        self.constants_written = false;
        self.adaptation = Adaptation::new();
        self.residue = Residue::default();
        self.state = State::Blank;
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Copy-on-write instantiation, from beginning to end.
//!
//! An **image** is an instance as it stands before any of its code ran: the state and linear memory that
//! the compiler computed, completed with what only this process knows. It is made once per module or snapshot and
//! never changes; where the system can, it is a sealed memory file, or part of an artifact.
//!
//! A **slot** is the address space of one instance (`minirt_compiler::instance::layout` has the picture). *Binding* a
//! slot to an image maps the image into it, privately: reading shares the image's pages, writing copies them.
//!
//! ```text
//!   Slot::new ──> blank ──bind──> clean ──touch──> dirty ──reset──> clean ...
//!                   ^               │                │
//!                   └────── wipe ───┴────────────────┘
//! ```
//!
//! - *Clean* means: the image, then zeros up to the initial size of the memory, then nothing accessible.
//! - An instance is born by taking a clean slot that carries its module's image. If the last tenant had the same
//!   module, that is no system call.
//! - It may *grow* its memory: pages behind the initial size become accessible. They are zero.
//! - When it dies, *reset* undoes what it wrote. If nothing ran, there is nothing to undo, and no system call.
//! - A slot is *uncertain* after a system call failed half-way: what is writable there is not known, and so not what was
//!   written. Reset refuses it; it is *wiped* before it is used again, and given back to the system if even that fails.
//!
//! What was written? The *head* (sizes, globals, flags: some hundred bytes) is always copied back. Of all other pages:
//!
//! - A *watched* slot has only those writable that its module's instances are known to write, the **hot set**. A
//!   write elsewhere faults; the signal handler lets it through (`admit`) and the page joins the set. So the set is
//!   complete, and reset copies it back, without a system call.
//! - In an *open* slot everything accessible is writable, and reset asks the kernel (`sys::pagemap`), or discards.
//!
//! `habits` remembers what instances of an image do, and advises which of these a slot should be.
//!
//! The kernel does not fault when it writes for us (`read` into guest memory): it fails. So host code that hands guest
//! memory to the kernel or to an embedder calls `expose` or `open` first.
//!
//! The host cell at the slot's start is not part of this: it belongs to whoever uses the slot, and each
//! instance writes it anew.
//!
//! Nothing here knows of functions, types or stores.

mod page_set;
mod policy;
mod image;
mod inspect;

pub(crate) use image::{Image, ImageParts};
pub use inspect::PageStats;
pub use policy::ResetStrategy;

use crate::sys::mapping::{Access, PAGE, Reservation};
use crate::sys::memfd::ImageFile;
use crate::sys::pagemap;
use crate::vmctx::VmContext;
use image::MEMORY_AT;
use minirt_compiler::instance::layout::{MEMORY_RESERVED, SLOT_SIZE, VMCTX};
use page_set::{Page, Runs};
use policy::{Advice, first_look};
use rustix::io::{Errno, Result};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Writes outside the hot set that one run may fault for; at the next, the slot is opened.
const MISSES: u32 = 8;

/// A memory is exposed seldom if at least so many watched resets lie between.
const SELDOM: u32 = 64;

/// Misses are in short succession if fewer resets than this lie between them.
const RECENT: u32 = 16;

/// How a reset was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing had run.
    Nothing,
    /// The hot set was copied back.
    HotSet,
    /// What the kernel listed was copied back.
    Scan,
    /// All pages were discarded.
    Discard,
}

/// What a reset has to respect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) strategy: ResetStrategy,
    /// Pages that the slot may keep in memory; if there are more, they are discarded.
    pub(crate) keep: usize,
}

/// The address space of one instance, and which image it carries.
#[derive(Debug)]
pub(crate) struct Slot {
    space: Reservation,
    /// The image that is mapped; `None` for a blank slot, in which nothing is accessible.
    image: Option<Arc<Image>>,
    /// Bytes of memory that are accessible now: at least the image's initial size.
    accessible: usize,
    /// Whether state or memory may differ from the image.
    dirty: bool,
    /// Whether a system call failed half-way: which pages are writable or accessible is not known. Only `wipe` helps.
    uncertain: bool,
    /// If the slot is watched, the pages that are writable besides the head and grown memory; all others are read-only.
    watched: Option<Runs>,
    /// Whether the slot was watched when this run began.
    opened: bool,
    /// Writes of this run outside the hot set.
    misses: u32,
    /// Resets since the last run with misses.
    quiet: u32,
    /// Resets until the slot, while it is open, asks for advice.
    patience: u32,
    /// Resets until the slot compares what it copies, and the number it starts from again.
    look: (u32, u32),
    /// Private pages that a clean slot keeps in memory, besides the head.
    kept: usize,
    /// How many of these lie behind the initial memory, and how far into the slot there can be any.
    behind: (usize, usize),
    /// Mappings that watching takes.
    claim: Claim,
}

impl Slot {
    /// A blank slot.
    ///
    /// # Errors
    /// When there is no address space left.
    pub(crate) fn new() -> Result<Self> {
        let space = Reservation::new(SLOT_SIZE as usize)?;
        Ok(Self {
            space,
            image: None,
            accessible: 0,
            dirty: false,
            uncertain: false,
            watched: None,
            opened: false,
            misses: 0,
            quiet: RECENT,
            patience: 0,
            look: (0, 0),
            kept: 0,
            behind: (0, 0),
            claim: Claim(0),
        })
    }

    pub(crate) fn vmctx(&self) -> VmContext {
        // SAFETY: VMCTX is less than the reservation's length, so this is inside it and not null.
        VmContext(unsafe { self.space.base().add(VMCTX as usize) })
    }

    /// The addresses that belong to this slot, guards included.
    pub(crate) fn addresses(&self) -> Range<usize> {
        self.space.addresses()
    }

    /// Bytes of memory that are accessible.
    pub(crate) fn memory_size(&self) -> usize {
        self.accessible
    }

    /// Private pages that this slot keeps in memory while it is clean.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// From now on, this slot's contents may differ from its image.
    #[inline]
    pub(crate) fn touch(&mut self) {
        self.dirty = true;
    }

    // Binding.

    /// Makes this slot clean and carry `image`.
    ///
    /// # Errors
    /// When the kernel refuses a mapping; the slot is then blank, or dirty and to be wiped.
    pub(crate) fn bind(&mut self, image: &Arc<Image>, strategy: ResetStrategy) -> Result<()> {
        if self.image.is_some() || self.dirty {
            self.wipe()?;
        }
        self.bind_blank(image, strategy, true).or_else(|error| match self.dirty {
            false => self.bind_blank(image, strategy, false),
            true => Err(error),
        })
    }

    fn bind_blank(&mut self, image: &Arc<Image>, strategy: ResetStrategy, with_guard: bool) -> Result<()> {
        // Until all is done, what is mapped is not certain.
        self.dirty = true;
        self.image = Some(Arc::clone(image));
        let bound = self.map(image, with_guard).and_then(|()| self.watch_expected(image, strategy));
        if bound.is_err() {
            let _ = self.wipe(); // If this fails as well, `dirty` keeps the slot out of use.
        }
        bound
    }

    /// Maps an image. What lies beyond the end of the state's file is a guard: mapped `with_guard`, it takes no mapping of
    /// its own. Where the system counts all that is mapped as memory that might be used, that is too much, and it stays
    /// blank, and so inaccessible.
    fn map(&mut self, image: &Image, with_guard: bool) -> Result<()> {
        // SAFETY: a slot that is being bound has no tenant, so nothing refers into it.
        unsafe {
            if let Some(files) = &image.files {
                let state = if with_guard { MEMORY_AT } else { files.state.len() };
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
        self.dirty = false;
        Ok(())
    }

    /// Fills fresh zeros from the image.
    ///
    /// # Safety
    /// State and initial memory must be mapped writable, and nothing may refer into them.
    unsafe fn copy_in(&self, image: &Image) {
        for extent in image.state.iter().chain(&image.extents) {
            let at = self.space.at(extent.range.start);
            // SAFETY: `at` checks the start; the compiler made the extents to fit state and memory, which are mapped.
            unsafe { std::ptr::copy_nonoverlapping(extent.bytes.as_ptr(), at, extent.bytes.len()) }
        }
    }

    // While the instance lives.

    /// Makes memory accessible up to `bytes` (whole pages). It never shrinks.
    ///
    /// # Errors
    /// When the kernel refuses; the memory has its old size then.
    pub(crate) fn grow_memory(&mut self, bytes: usize) -> Result<()> {
        assert!(bytes as u64 <= MEMORY_RESERVED, "a memory larger than its reservation");
        if bytes > self.accessible {
            self.dirty = true;
            let range = MEMORY_AT + self.accessible..MEMORY_AT + bytes;
            // SAFETY: the range is inaccessible, so nothing refers to it. It reads as zeros: that is how `wipe` and
            // `shrink` leave what lies behind a memory.
            unsafe { self.space.protect(range.clone(), Access::ReadWrite) }.inspect_err(|_| self.close(range))?;
            self.accessible = bytes;
        }
        Ok(())
    }

    /// After growing failed: the range may have been two mappings to the kernel, of which it changed the first.
    #[cold]
    fn close(&mut self, range: Range<usize>) {
        // SAFETY: the range lies behind the memory, so nothing refers to it.
        self.uncertain |= unsafe { self.space.protect(range, Access::None) }.is_err();
    }

    /// A write at `address` has faulted. If that was because the slot is watched, makes the page writable and returns
    /// true: the write can be tried again. Safe to call in a signal handler.
    pub(crate) fn admit(&mut self, address: usize) -> bool {
        let Some(at) = address.checked_sub(self.addresses().start) else { return false };
        let page = (at / PAGE) as Page;
        let pages = self.unexpected(page..page + 1);
        !pages.is_empty() && self.open_pages(pages).is_ok()
    }

    /// Prepares for host code that writes to `bytes` bytes at an address: they do not fault.
    ///
    /// # Errors
    /// When the kernel refuses.
    #[inline]
    pub(crate) fn open(&mut self, address: *const u8, bytes: usize) -> Result<()> {
        if self.watched.is_none() || bytes == 0 {
            return Ok(());
        }
        let at = address as usize - self.addresses().start;
        let pages = self.unexpected((at / PAGE) as Page..(at + bytes).div_ceil(PAGE) as Page);
        if pages.is_empty() { Ok(()) } else { self.open_pages(pages) }
    }

    /// The part of `pages` that is read-only because the slot is watched, with what may lie between.
    fn unexpected(&self, pages: Range<Page>) -> Range<Page> {
        let (Some(image), Some(hot)) = (&self.image, &self.watched) else { return 0..0 };
        let inside = |range: &Range<usize>| {
            let range = to_pages(range);
            pages.start.max(range.start)..pages.end.min(range.end)
        };
        let part = image.writable().iter().map(inside).find(|part| !part.is_empty()).unwrap_or(0..0);
        if hot.covers(&part) { 0..0 } else { part }
    }

    /// Prepares for writes to any of the memory by whoever, the kernel included: none will fault until the next reset.
    ///
    /// # Errors
    /// When the kernel refuses.
    #[inline]
    pub(crate) fn expose(&mut self) -> Result<()> {
        if self.watched.is_none() { Ok(()) } else { self.expose_watched() }
    }

    #[cold]
    fn expose_watched(&mut self) -> Result<()> {
        let Some(image) = self.image.clone() else { return Ok(()) };
        self.open_up(&image)?;
        self.opened = false; // It did not go elsewhere: nobody knows where it will go.
        // Once in a while it does not matter. If it happens often, watching is not worth its system calls.
        self.patience = if self.quiet < SELDOM { image.habits.exposed() } else { 1 };
        Ok(())
    }

    /// Makes unexpected pages writable; all of them, if there were too many this time.
    #[cold]
    fn open_pages(&mut self, pages: Range<Page>) -> Result<()> {
        self.misses += 1;
        let mut hot = self.watched.unwrap_or(Runs::new());
        if self.misses <= MISSES && hot.insert(pages.clone()) && self.claim.more(2) {
            // SAFETY: it gives more access to what is mapped.
            if unsafe { self.space.protect(to_bytes(&pages), Access::ReadWrite) }.is_ok() {
                self.watched = Some(hot);
                return Ok(());
            }
        }
        self.image.clone().map_or(Ok(()), |image| self.open_up(&image))
    }

    /// Ends watching: makes everything writable that is accessible.
    fn open_up(&mut self, image: &Image) -> Result<()> {
        self.uncertain = true; // Until all is done: a part may be writable that no reset would look at.
        for range in image.writable() {
            // SAFETY: as in `open_pages`. It joins mappings, so it takes no new one.
            unsafe { self.space.protect(range, Access::ReadWrite) }?;
        }
        (self.uncertain, self.watched, self.opened) = (false, None, true);
        self.claim.release();
        Ok(())
    }

    // Reset.

    /// Makes a slot clean after its instance has died, or to start it again, and says how.
    ///
    /// # Errors
    /// When the kernel refuses, or has refused something before so that the slot's state is not certain. It then has to
    /// be wiped: another reset fails as well.
    #[inline]
    pub(crate) fn reset(&mut self, rules: Rules) -> Result<Way> {
        if !self.dirty {
            return Ok(Way::Nothing);
        }
        // Without an image: a panic ended the last reset. That is as uncertain.
        let Some(image) = self.image.take_if(|_| !self.uncertain) else { return Err(Errno::NOTRECOVERABLE) };
        let done = self.reset_to(&image, rules);
        self.image = Some(image);
        (self.dirty, self.uncertain) = (done.is_err(), done.is_err());
        done
    }

    fn reset_to(&mut self, image: &Arc<Image>, rules: Rules) -> Result<Way> {
        // Nobody uses the instance at this time, so nothing refers into its slot; the head is always writable.
        // (Copying nothing is slow on some processors.)
        let head = image.head.iter().filter(|part| !part.is_empty());
        // SAFETY: as above.
        unsafe { head.for_each(|part| self.restore(image, part.clone())) };
        if self.accessible > image.memory || self.behind.0 > rules.keep {
            self.shrink(image, rules)?;
        }
        let rules = Rules { keep: rules.keep - self.behind.0, ..rules };
        let way = match self.watched {
            Some(hot) => self.reset_watched(image, &hot, rules),
            None => self.reset_open(image, rules),
        }?;
        self.kept += self.behind.0;
        Ok(way)
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

    /// The reset of a watched slot: nothing outside the hot set can have been written.
    fn reset_watched(&mut self, image: &Arc<Image>, hot: &Runs, rules: Rules) -> Result<Way> {
        self.kept = hot.pages();
        if self.kept > rules.keep {
            return self.discard(image);
        }
        if self.time_to_look() && !self.mostly_written(image, hot.iter()) {
            // Learn the set anew: discard all, and see what the next run does.
            self.look_again_after(image.habits.outdated());
            self.open_up(image)?;
            self.opened = false;
            return self.discard(image);
        }
        for run in hot.iter() {
            // SAFETY: the hot set is mapped writable, and the slot has no tenant.
            unsafe { self.restore(image, to_bytes(&run)) }
        }
        if self.misses == 0 {
            self.quiet = self.quiet.saturating_add(1);
        } else {
            let advice = image.habits.missed(hot, self.quiet < RECENT, rules.strategy);
            self.follow(image, advice)?;
        }
        Ok(Way::HotSet)
    }

    /// The reset of a slot in which everything could be written.
    fn reset_open(&mut self, image: &Arc<Image>, rules: Rules) -> Result<Way> {
        let mut written = Vec::new();
        if rules.strategy == ResetStrategy::Discard || self.written(image.writable(), &mut written).is_err() {
            return self.discard(image);
        }
        self.kept = written.iter().map(|run| run.len()).sum();
        if self.kept > rules.keep || (self.time_to_look() && !self.mostly_written(image, written.iter().cloned())) {
            return self.discard(image);
        }
        for run in &written {
            // SAFETY: everything accessible is writable in an open slot, and the slot has no tenant.
            unsafe { self.restore(image, to_bytes(run)) }
        }
        self.patience = self.patience.saturating_sub(1);
        if self.patience == 0 && rules.strategy != ResetStrategy::Scan {
            let advice = image.habits.observed(&written, self.opened && self.quiet < RECENT, rules.strategy);
            self.follow(image, advice)?;
        }
        Ok(Way::Scan)
    }

    /// The pages of `ranges` that were written.
    fn written(
        &self,
        ranges: [Range<usize>; 2],
        into: &mut Vec<Range<Page>>,
    ) -> std::result::Result<(), pagemap::Unavailable> {
        let base = self.addresses().start;
        ranges.into_iter().try_for_each(|range| {
            pagemap::written(base + range.start..base + range.end, |run| {
                into.push(to_pages(&(run.start - base..run.end - base)));
            })
        })
    }

    /// Takes all private pages away: the image shows again, and zeros where it has none.
    fn discard(&mut self, image: &Image) -> Result<Way> {
        for range in image.writable() {
            // SAFETY: the slot has no tenant.
            unsafe { self.space.discard(range) }?;
        }
        if image.files.is_none() {
            // Without files there are only zeros behind the pages. The image's part of them has to be writable.
            self.open_up(image)?;
            // SAFETY: state and initial memory are mapped writable, and the slot has no tenant.
            unsafe { self.copy_in(image) };
        }
        (self.kept, self.misses) = (0, 0);
        Ok(Way::Discard)
    }

    /// Makes grown memory inaccessible again, and zero. Earlier instances may have grown farther: what they left counts
    /// among the pages that are kept.
    fn shrink(&mut self, image: &Image, rules: Rules) -> Result<()> {
        let grown = image.memory().end..MEMORY_AT + self.accessible;
        let reached = grown.start..grown.end.max(self.behind.1);
        let mut written = Vec::new();
        let scanned =
            rules.strategy != ResetStrategy::Discard && self.written([reached.clone(), 0..0], &mut written).is_ok();
        let pages: usize = written.iter().map(|run| run.len()).sum();
        let keep = scanned && pages <= rules.keep;
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
        self.behind = if keep { (pages, reached.end) } else { (0, 0) };
        Ok(())
    }

    // What to do next time.

    fn time_to_look(&mut self) -> bool {
        let (left, from) = self.look;
        self.look.0 = if left == 0 { from } else { left - 1 };
        left == 0
    }

    fn look_again_after(&mut self, resets: u32) {
        self.look = (resets, resets);
    }

    /// Whether at least half of these pages differ from the image, before they are restored. A few never matter.
    fn mostly_written(&self, image: &Image, runs: impl Iterator<Item = Range<Page>>) -> bool {
        const FEW: usize = 4;
        let (mut all, mut written) = (0, 0);
        for page in runs.flatten() {
            all += 1;
            written += usize::from(self.differs(image, page));
        }
        all <= FEW || 2 * written >= all
    }

    fn differs(&self, image: &Image, page: Page) -> bool {
        let mut differs = false;
        image.contents(to_bytes(&(page..page + 1)), |at, len, bytes| {
            // SAFETY: a tracked page is readable, and nobody writes it: the slot has no tenant.
            let now = unsafe { std::slice::from_raw_parts(self.space.at(at), len) };
            differs |= bytes.map_or_else(|| now.iter().any(|byte| *byte != 0), |bytes| now != bytes);
        });
        differs
    }

    fn watch_expected(&mut self, image: &Arc<Image>, strategy: ResetStrategy) -> Result<()> {
        self.look_again_after(first_look());
        match strategy {
            ResetStrategy::Scan | ResetStrategy::Discard => Ok(()),
            _ => image.habits.expected().map_or(Ok(()), |hot| self.watch(image, hot)),
        }
    }

    fn follow(&mut self, image: &Image, advice: Advice) -> Result<()> {
        (self.misses, self.quiet) = (0, 0);
        match advice {
            Advice::Watch(hot) => self.watch(image, hot),
            Advice::Scan { resets } => {
                self.patience = resets;
                if self.watched.is_some() { self.open_up(image) } else { Ok(()) }
            }
        }
    }

    /// Makes everything read-only but the hot set. Only a clean slot can be watched.
    fn watch(&mut self, image: &Image, hot: Runs) -> Result<()> {
        if self.watched == Some(hot) {
            self.claim.keep(mappings(&hot)); // Each miss has claimed two, whether or not it split a mapping.
            return Ok(());
        }
        if self.watched.is_some() {
            self.open_up(image)?;
        }
        self.opened = false;
        if !self.claim.more(mappings(&hot)) {
            self.patience = LATER;
            return Ok(());
        }
        for range in image.writable() {
            for gap in hot.gaps(to_pages(&range)) {
                // SAFETY: no Rust reference points into a slot without a tenant.
                let protected = unsafe { self.space.protect(to_bytes(&gap), Access::Read) };
                if protected.is_err() {
                    self.patience = LATER;
                    return self.open_up(image);
                }
            }
        }
        self.watched = Some(hot);
        Ok(())
    }

    // The end.

    /// Makes a slot blank, whatever is mapped in it. No image is mapped afterwards, and none is kept alive.
    ///
    /// # Errors
    /// When the kernel refuses; the slot must then not be used again.
    pub(crate) fn wipe(&mut self) -> Result<()> {
        self.dirty = true;
        // SAFETY: the slot has no tenant, so nothing refers into it.
        unsafe { self.space.map_zeros(0..SLOT_SIZE as usize, Access::None) }?;
        self.claim.release();
        (self.image, self.watched, self.uncertain) = (None, None, false);
        (self.accessible, self.kept, self.patience, self.misses, self.quiet) = (0, 0, 0, 0, RECENT);
        self.behind = (0, 0);
        self.dirty = false;
        Ok(())
    }
}

/// How many resets a slot stays open for want of mappings.
const LATER: u32 = 1024;

fn to_pages(bytes: &Range<usize>) -> Range<Page> {
    (bytes.start / PAGE) as Page..(bytes.end / PAGE) as Page
}

fn to_bytes(pages: &Range<Page>) -> Range<usize> {
    pages.start as usize * PAGE..pages.end as usize * PAGE
}

/// Mappings that a hot set adds at the most: it cuts out each run, and state and memory are two already.
fn mappings(hot: &Runs) -> usize {
    2 * hot.len() + 1
}

/// Mappings that a watched slot takes beyond those of an open one, counted for the whole process: the kernel has a limit
/// (`vm.max_map_count`, 65,530 by default), and instances come first.
#[derive(Debug)]
struct Claim(usize);

/// The most mappings that watching takes in a process.
const CLAIMS: usize = 12_000;
static CLAIMED: AtomicUsize = AtomicUsize::new(0);

impl Claim {
    /// False, and nothing claimed, if there are too many.
    fn more(&mut self, mappings: usize) -> bool {
        let fits = CLAIMED.fetch_add(mappings, Relaxed) + mappings <= CLAIMS;
        if fits {
            self.0 += mappings;
        } else {
            CLAIMED.fetch_sub(mappings, Relaxed);
        }
        fits
    }

    /// Gives back what is above `mappings`.
    fn keep(&mut self, mappings: usize) {
        let surplus = self.0.saturating_sub(mappings);
        self.0 -= surplus;
        CLAIMED.fetch_sub(surplus, Relaxed);
    }

    fn release(&mut self) {
        self.keep(0);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests;

//! Recycles instances: takes back those that have died, and hands them out again, clean.
//!
//! Pooling is not a mode: every slot comes from here and returns here, together with the
//! description of the instance it last was. One that already carries the wanted image is preferred,
//! the one used last first, because its pages are the warmest. Slots are made on demand, up to a
//! limit.

use super::prototype::Prototype;
use super::sharded::Sharded;
use super::tenant::{Closures, InstanceData};
use crate::code::writer;
use crate::cow::ResetStrategy;
use crate::cow::{ResetKind, ResetRules, Slot};
use crate::sys::fork::Guard;
use crate::sys::mapping::{address_bits, page_size};
use anyhow::{Context, Result, bail};
use minirt_compiler::instance::layout::SLOT_SIZE;
use rustc_hash::FxHashMap;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// The limits of a pool, from the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most instances, idle or alive.
    pub(crate) instances: usize,
    /// The most bytes that idle instances keep in memory.
    pub(crate) keep_resident: usize,
    pub(crate) strategy: ResetStrategy,
    /// Whether slots note who writes each page first.
    pub(crate) attribute_writes: bool,
}

/// All idle instances of an engine.
#[derive(Debug)]
pub(crate) struct Pool {
    shards: Sharded<Idle>,
    limits: Limits,
    /// Slots that exist, idle or in use.
    total: AtomicUsize,
    /// Pages that slots keep in memory to copy them back, and the large host cells and heads of
    /// idle slots. Written only when the number of a slot changes.
    resident_pages: AtomicUsize,
}

// Boxes, because a description must not move: its host cell points to it.
#[allow(clippy::vec_box, reason = "the address of an instance's description is in its slot")]
#[derive(Debug, Default)]
struct Idle {
    /// Clean instances by the address of their prototype, which they keep alive.
    clean: FxHashMap<*const Prototype, Vec<Box<InstanceData>>>,
    /// Slots that carry no image.
    blank: Vec<Slot>,
    counts: Counts,
}

// SAFETY: the raw pointers are keys that are only compared; everything else is Send.
unsafe impl Send for Idle {}

/// Counts what happened in a shard.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    warm: u64,
    cold: u64,
    resets: [u64; 5],
}

/// Figures about an engine's instances ([`Engine::stats`](crate::Engine::stats)). Counts start with
/// the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Instances that are alive.
    pub live: usize,
    /// Slots that wait for their next instance.
    pub idle: usize,
    /// Bytes that idle slots keep in memory, so that they can be copied back rather than faulted in
    /// again.
    pub kept_bytes: usize,
    /// Instantiations that found a clean slot with the module's image, and so made no system call.
    pub warm_instantiations: u64,
    /// Instantiations that had to map the image.
    pub cold_instantiations: u64,
    /// Instances that died without having run: there was nothing to reset.
    pub resets_nothing: u64,
    /// Resets that copied the hot set back, without a system call.
    pub resets_hot_set: u64,
    /// Resets that asked the kernel about a hot set of a few regions, and copied back what it
    /// listed there. So does [`ResetStrategy::HotSet`] where pages are too scattered to be listed
    /// one by one.
    pub resets_regions: u64,
    /// Resets that asked the kernel about everything, and copied back what it listed.
    pub resets_scan: u64,
    /// Resets that discarded all pages.
    pub resets_discard: u64,
    /// Modules and snapshots whose image is copied into each instance slot, because the system made
    /// no file for it ([`ImageInfo::copied`](crate::ImageInfo::copied) says why).
    pub copied_images: u64,
}

impl EngineStats {
    /// Counts the system calls that were saved, compared with mapping each instance anew and
    /// discarding it after use: three to map state, image and zeros, and two to discard what was
    /// written.
    pub fn system_calls_avoided(&self) -> u64 {
        let asked = self.resets_regions + self.resets_scan;
        3 * self.warm_instantiations + 2 * (self.resets_nothing + self.resets_hot_set) + asked
    }
}

/// An instance that was taken from a pool and that no store owns yet. It goes back when this is
/// dropped, so a failure or panic on the way to its store cannot lose the slot.
pub(crate) struct Taken<'a> {
    pool: &'a Pool,
    data: ManuallyDrop<Box<InstanceData>>,
}

impl Taken<'_> {
    /// Hands the instance to its owner.
    #[inline]
    pub(crate) fn into_owner(mut self) -> Box<InstanceData> {
        // SAFETY: `self` is forgotten, so nobody uses `data` again.
        let data = unsafe { ManuallyDrop::take(&mut self.data) };
        std::mem::forget(self);
        data
    }
}

impl Deref for Taken<'_> {
    type Target = InstanceData;
    fn deref(&self) -> &InstanceData {
        &self.data
    }
}

impl DerefMut for Taken<'_> {
    fn deref_mut(&mut self) -> &mut InstanceData {
        &mut self.data
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody uses `data` after the drop.
        self.pool.put(unsafe { ManuallyDrop::take(&mut self.data) });
    }
}

/// How many idle slots are made blank, one after the other, for one that could not be bound.
const MAKE_ROOM: usize = 4;

impl Pool {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { shards: Sharded::default(), limits, total: AtomicUsize::new(0), resident_pages: AtomicUsize::new(0) }
    }

    /// Takes a clean instance of `prototype`. Its host cell may still be what its last user wrote.
    ///
    /// # Errors
    /// Returns an error if as many instances as there may be are alive, or the kernel gives no
    /// memory for another.
    #[inline]
    pub(crate) fn take(&self, prototype: &Arc<Prototype>) -> Result<Taken<'_>> {
        let data = self.take_mine(prototype).map_or_else(|| self.take_elsewhere(prototype), Ok)?;
        Ok(Taken { pool: self, data: ManuallyDrop::new(data) })
    }

    #[inline]
    fn take_mine(&self, prototype: &Arc<Prototype>) -> Option<Box<InstanceData>> {
        let mut mine = self.shards.mine();
        let data = mine.clean.get_mut(&Arc::as_ptr(prototype)).and_then(Vec::pop)?;
        mine.counts.warm += 1;
        self.recount(data.slot.own_pages(), 0);
        Some(data)
    }

    #[cold]
    fn take_elsewhere(&self, prototype: &Arc<Prototype>) -> Result<Box<InstanceData>> {
        for mut idle in self.shards.all() {
            if let Some(data) = idle.clean.get_mut(&Arc::as_ptr(prototype)).and_then(Vec::pop) {
                idle.counts.warm += 1;
                self.recount(data.slot.own_pages(), 0);
                return Ok(data);
            }
        }
        let mut slot = self.blank_slot()?;
        let mut bound = slot.bind(&prototype.image, self.limits.strategy);
        for _ in 0..MAKE_ROOM {
            if bound.is_ok() {
                break;
            }
            // Perhaps there are no mappings left. Idle instances of other modules have some.
            match self.take_from_another() {
                Ok(Some(other)) => self.shards.mine().blank.push(other),
                Ok(None) => break,
                Err(_) => {} // That slot is gone, and its mappings with it.
            }
            bound = slot.bind(&prototype.image, self.limits.strategy);
        }
        if let Err(error) = bound {
            self.put_blank(slot);
            let help = "could not map a module's image into an instance slot (too many mappings? see vm.max_map_count)";
            return Err(error).context(help);
        }
        self.shards.mine().counts.cold += 1;
        Ok(InstanceData::new(slot, Arc::clone(prototype)))
    }

    /// Takes a slot without an image: an idle one, a new one, or at last another module's.
    fn blank_slot(&self) -> Result<Slot> {
        if let Some(slot) = self.shards.all().find_map(|mut idle| idle.blank.pop()) {
            return Ok(slot);
        }
        let limit = self.limits.instances;
        let mut refused = None;
        if self.total.fetch_update(SeqCst, SeqCst, |total| (total < limit).then_some(total + 1)).is_ok() {
            match Slot::new() {
                Ok(mut slot) => {
                    if self.limits.attribute_writes {
                        slot.attribute_writes(writer::find);
                    }
                    return Ok(slot);
                }
                Err(error) => refused = Some(error),
            }
            self.total.fetch_sub(1, SeqCst);
        }
        match (self.take_from_another()?, refused) {
            (Some(slot), _) => Ok(slot),
            (None, None) => bail!("all {limit} instance slots are in use; drop stores that are no longer needed"),
            (None, Some(error)) => {
                Err(error).with_context(|| {
                    // The slots that there are do fit.
                    let held = (self.total.load(SeqCst) as u64 * SLOT_SIZE).next_power_of_two().ilog2();
                    let bits = address_bits().max(held);
                    let most = (1_u64 << bits) / SLOT_SIZE;
                    format!(
                        "could not reserve address space for an instance slot: each takes 7 GiB of it, of which little is \
                         used, and at most {most} fit the {bits} bits of addresses that a process has here (see `ulimit -v`; \
                         and `ulimit -l`, if the process locks its memory)"
                    )
                })
            }
        }
    }

    /// Takes the slot of an idle instance of any module, and makes it blank.
    fn take_from_another(&self) -> Result<Option<Slot>> {
        let mut refused = None;
        // Where the process has as many mappings as it may, even replacing some can be refused. A
        // slot that could not be made blank is gone, and its mappings with it, so the next one has
        // a better chance.
        for _ in 0..MAKE_ROOM {
            let idle = self.shards.all().find_map(|mut idle| idle.clean.values_mut().find_map(Vec::pop));
            let Some(mut slot) = idle.map(|data| data.slot) else { break };
            self.recount(slot.resident_pages() + slot.own_pages(), 0);
            match slot.unmap() {
                Ok(()) => return Ok(Some(slot)),
                Err(error) => refused = Some(error),
            }
            drop(slot);
            self.total.fetch_sub(1, SeqCst);
        }
        let help = "could not make an idle instance slot blank (too many mappings? see vm.max_map_count)";
        refused.map_or(Ok(None), |error| Err(error).context(help))
    }

    /// Makes an instance clean, as in its first moment.
    fn reset(&self, data: &mut InstanceData) -> rustix::io::Result<ResetKind> {
        let before = data.slot.resident_pages();
        let others = self.resident_pages.load(Relaxed).saturating_sub(before);
        let resident_budget = self.budget().saturating_sub(others);
        let way = data.slot.reset(ResetRules { strategy: self.limits.strategy, resident_budget });
        self.recount(before, data.slot.resident_pages()); // Also after a failure half-way: the slot may have changed it.
        way
    }

    /// Resets an instance that stays alive.
    ///
    /// # Errors
    /// Returns an error if the kernel refuses.
    pub(crate) fn reset_in_place(&self, data: &mut InstanceData) -> rustix::io::Result<()> {
        let way = self.reset(data)?;
        self.shards.mine().counts.resets[way as usize] += 1;
        Ok(())
    }

    /// Returns how many pages all slots together may keep in memory.
    fn budget(&self) -> usize {
        self.limits.keep_resident / page_size()
    }

    #[inline]
    fn recount(&self, before: usize, after: usize) {
        if before != after {
            self.resident_pages.fetch_add(after.wrapping_sub(before), Relaxed);
        }
    }

    /// Takes an instance back after it has died.
    #[inline]
    pub(crate) fn put(&self, mut data: Box<InstanceData>) {
        let released;
        if let Ok(way) = self.reset(&mut data) {
            let mut mine = self.shards.mine();
            mine.counts.resets[way as usize] += 1;
            // Both flags are read under the lock: who clears one does that first, and then looks
            // into every shard.
            released = data.release_closures();
            // No reset discards a slot's own pages. If it has many, and there are too many in all,
            // the slot is unmapped.
            let own = data.slot.own_pages();
            let fits = own == 0 || self.resident_pages.load(Relaxed) + own <= self.budget();
            if fits && !data.prototype.retired.load(SeqCst) {
                self.recount(0, own);
                mine.clean.entry(Arc::as_ptr(&data.prototype)).or_default().push(data);
                drop(mine); // Closures are dropped without the lock: nobody knows what they do then.
                drop(released);
                return;
            }
        }
        self.put_blank(data.slot);
    }

    /// Takes a slot back, whatever is mapped in it.
    #[cold]
    fn put_blank(&self, mut slot: Slot) {
        self.recount(slot.resident_pages(), 0);
        if slot.unmap().is_ok() {
            self.shards.mine().blank.push(slot);
        } else {
            // Nobody knows what is mapped there. Dropping it gives the address space back.
            drop(slot);
            self.total.fetch_sub(1, SeqCst);
        }
    }

    /// Notes that no more instances of this are wanted, and unmaps it from all idle slots.
    pub(crate) fn retire(&self, prototype: &Arc<Prototype>) {
        prototype.retired.store(true, SeqCst);
        for mut shard in self.shards.all() {
            let idle = shard.clean.remove(&Arc::as_ptr(prototype));
            drop(shard); // `put_blank` takes a lock.
            for data in idle.into_iter().flatten() {
                self.recount(data.slot.own_pages(), 0);
                self.put_blank(data.slot);
            }
        }
    }

    /// Notes that no more instances with these closures are wanted, and takes them out of all idle
    /// instances.
    pub(crate) fn release_closures(&self, prototype: &Arc<Prototype>, closures: &Arc<Closures>) {
        closures.reusable.store(false, SeqCst);
        for mut idle in self.shards.all() {
            let clean = idle.clean.get_mut(&Arc::as_ptr(prototype)).into_iter().flatten();
            let released: Vec<_> = clean.filter_map(|data| data.release_closures()).collect();
            drop(idle);
            drop(released);
        }
    }

    /// Locks all that the pool changes, in order.
    pub(crate) fn lock_all(&self) -> impl Iterator<Item = Box<dyn Guard + '_>> {
        self.shards.lock_all()
    }

    pub(crate) fn stats(&self) -> EngineStats {
        let mut stats =
            EngineStats { kept_bytes: self.resident_pages.load(Relaxed) * page_size(), ..EngineStats::default() };
        for idle in self.shards.all() {
            stats.idle += idle.blank.len() + idle.clean.values().map(Vec::len).sum::<usize>();
            let Counts { warm, cold, resets: [nothing, hot_set, regions, scan, discard] } = idle.counts;
            stats.warm_instantiations += warm;
            stats.cold_instantiations += cold;
            stats.resets_nothing += nothing;
            stats.resets_hot_set += hot_set;
            stats.resets_regions += regions;
            stats.resets_scan += scan;
            stats.resets_discard += discard;
        }
        stats.live = self.total.load(SeqCst).saturating_sub(stats.idle);
        stats
    }
}

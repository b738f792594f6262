//! Describes the heap of a store: where its structures and arrays are.
//!
//! The first instance of the store whose module has types of structures or arrays brings the heap:
//! the memory of an instance that has nothing else. All later ones share it. If the embedder makes
//! an object before, its heap is the store's.

use crate::gc::Shapes;
use crate::types::RegisteredTypes;
use crate::vmctx::{MemorySpace, VmContext};
use minirt_compiler::instance::layout::object::{ALIGN, ARRAY_FLAG, BIAS, FIRST, LIMIT, NEXT, TAG_MASK};
use rustc_hash::FxHashMap;
use std::num::NonZeroU32;
use std::ops::Range;

/// The least bytes of new objects between two collections: they stay in a processor's cache, and an
/// instance that makes few objects writes few pages.
const LEAST: u64 = 512 << 10;

/// With few objects that are needed, so many times as many bytes are new ones between two
/// collections, as long as these are not more than [`ROOMY`].
const ROOMY_TIMES: u64 = 8;

/// Up to this many bytes of new objects, time is worth more than memory.
const ROOMY: u64 = 16 << 20;

/// The same, with more objects.
const TIMES: u64 = 2;

/// One byte of new objects pays for so many bytes that a collection looks at.
const PAID: u64 = 4;

/// The most bytes of a buffer for collections that a heap keeps.
const KEPT: u64 = 4 << 20;

/// What the place of an object is filled with after it moved, if the engine collects to find
/// faults.
const POISON: u8 = 0xa5;

/// Returns how many bytes of new objects there may be before the next collection, by how many bytes
/// are needed, and how many the last collection had to look at besides. Those are paid for by a
/// quarter as many ([`PAID`]).
fn pace(needed: u64, scanned: u64) -> u64 {
    LEAST.max(TIMES * needed).max((ROOMY_TIMES * needed).min(ROOMY)).max(scanned / PAID)
}

/// The heap of a store.
#[derive(Debug)]
pub(crate) struct Heap {
    pub(crate) memory: MemorySpace,
    /// The instance that brought it, by its place in the store. The instance of the memory is
    /// behind it.
    pub(crate) owner_index: u32,
    /// References to functions in objects are distances from here.
    pub(crate) owner: VmContext,
    /// How many instances use it.
    pub(crate) users: u32,
    /// The types of what the embedder has made, which keep their numbers as long as the store.
    types: FxHashMap<u32, RegisteredTypes>,
    /// Where the objects of the image end. Those never move.
    pub(crate) image_end: u64,
    /// Where the others start.
    pub(crate) start: u64,
    /// Where objects ended after the last collection, and at most until now.
    live_end: u64,
    highest: u64,
    /// How many bytes collections have moved in the last while.
    needed: u64,
    /// How many bytes the last collection had to look at besides the objects that it moved, those
    /// in frames and those of the embedder left out.
    scanned: u64,
    /// How far objects may reach before the next collection.
    pub(crate) collect_at: u64,
    /// If the engine collects to find faults: after how many allocations, and how many of them are
    /// left.
    zeal: Option<(NonZeroU32, u32)>,
    shapes: Shapes,
    /// A buffer for the next collection.
    buffer: Vec<u64>,
}

/// The start of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectHeader {
    /// The engine's number for its type.
    pub(crate) ty: u32,
    pub(crate) is_array: bool,
    /// The length of an array.
    pub(crate) len: u32,
}

impl Heap {
    /// Keeps a type known as long as the store. `hold` is asked for a reference to it, at most
    /// once.
    pub(crate) fn hold(&mut self, number: u32, hold: impl FnOnce() -> RegisteredTypes) {
        self.types.entry(number).or_insert_with(hold);
    }

    /// Returns whether a type is known as long as the store, because the embedder has made an
    /// object of it.
    pub(crate) fn holds(&self, number: u32) -> bool {
        self.types.contains_key(&number)
    }

    /// Returns the address that offsets count from.
    pub(crate) fn base(&self) -> *mut u8 {
        self.memory.base.wrapping_sub(BIAS as usize)
    }

    /// Returns the 64 bits at an offset, which has to be a multiple of 8. `None` if they are not
    /// within the heap.
    pub(crate) fn word(&self, offset: u64) -> Option<u64> {
        let end = BIAS + self.memory.len();
        if offset < BIAS || offset.checked_add(8)? > end || !offset.is_multiple_of(8) {
            return None;
        }
        // SAFETY: the word is within the memory, which belongs to a live instance, and it is
        // aligned.
        Some(unsafe { *self.base().wrapping_add(offset as usize).cast::<u64>() })
    }

    /// Returns the start of an object. `None` if the reference does not lead to one.
    pub(crate) fn header(&self, reference: u32) -> Option<ObjectHeader> {
        if reference & TAG_MASK != 0 || u64::from(reference) < FIRST {
            return None;
        }
        let word = self.word(reference.into())?;
        let (ty, len) = (word as u32, (word >> u32::BITS) as u32);
        Some(ObjectHeader { ty: ty & !ARRAY_FLAG, is_array: ty & ARRAY_FLAG != 0, len })
    }

    /// Describes the heap in a memory that nobody has used yet. `owner` is the instance that
    /// brought it. `zeal` says after how many allocations to collect, if that is to find faults.
    pub(crate) fn new(memory: MemorySpace, owner_index: u32, owner: VmContext, zeal: Option<NonZeroU32>) -> Self {
        let mut heap = Self {
            memory,
            owner_index,
            owner,
            users: 0,
            types: FxHashMap::default(),
            image_end: FIRST,
            start: FIRST,
            live_end: FIRST,
            highest: FIRST,
            needed: 0,
            scanned: 0,
            collect_at: FIRST,
            zeal: zeal.map(|every| (every, every.get())),
            shapes: Shapes::default(),
            buffer: Vec::new(),
        };
        heap.restart();
        heap
    }

    /// Notes that the memory is what it is in the image.
    pub(crate) fn restart(&mut self) {
        self.image_end = self.next();
        (self.start, self.live_end, self.highest) = (self.image_end, self.image_end, self.image_end);
        self.needed = 0;
        self.set_pace(0);
    }

    /// Returns where the next object is going to be.
    pub(crate) fn next(&self) -> u64 {
        self.word(NEXT).unwrap_or(FIRST)
    }

    /// Returns how far code may go on making objects without asking.
    pub(crate) fn limit(&self) -> u64 {
        match self.zeal {
            None => self.collect_at.min(BIAS + self.memory.len()),
            Some(_) => 0,
        }
    }

    /// Counts an allocation. Returns whether the engine wants a collection to find faults.
    pub(crate) fn count_for_zeal(&mut self) -> bool {
        let Some((every, left)) = &mut self.zeal else { return false };
        *left -= 1;
        let now = *left == 0;
        if now {
            *left = every.get();
        }
        now
    }

    /// Returns by how many bytes the next collection moves all objects back, to find faults: never
    /// twice by as many.
    pub(crate) fn shift(&self) -> u64 {
        let moved = self.start != self.image_end + ALIGN;
        if self.zeal.is_none() {
            0
        } else if moved {
            ALIGN
        } else {
            2 * ALIGN
        }
    }

    /// Ends collecting to find faults, for a while. Returns what [`Self::resume_zeal`] needs.
    pub(crate) fn suspend_zeal(&mut self) -> Option<(NonZeroU32, u32)> {
        self.zeal.take()
    }

    /// Resumes collecting to find faults.
    pub(crate) fn resume_zeal(&mut self, zeal: Option<(NonZeroU32, u32)>) {
        self.zeal = zeal;
    }

    /// Returns how many bytes of objects are known to be needed, besides those of the image.
    pub(crate) fn live(&self) -> u64 {
        self.live_end - self.start
    }

    /// Returns how many bytes of objects were made since the last collection.
    pub(crate) fn made(&self) -> u64 {
        self.next().saturating_sub(self.live_end)
    }

    /// Returns whether all objects are known to be needed, and follow those of the image.
    pub(crate) fn is_tidy(&self) -> bool {
        self.made() == 0 && self.start == self.image_end
    }

    /// Returns how many bytes the last collection had to look at that `made` bytes of new objects
    /// before it do not pay for.
    pub(crate) fn unpaid(&self, made: u64) -> u64 {
        match self.zeal {
            None => self.scanned.saturating_sub(PAID * made),
            Some(_) => 0,
        }
    }

    /// Notes how many bytes a collection had to look at, for [`Self::unpaid`].
    pub(crate) fn note_scanned(&mut self, bytes: u64) {
        self.scanned = bytes;
    }

    /// Returns the offsets of what objects have left behind that moved since the memory was as in
    /// the image.
    pub(crate) fn left_behind(&self) -> Range<u64> {
        self.next()..self.highest.max(self.next())
    }

    /// Forgets what was needed before the last collection.
    pub(crate) fn forget_needed(&mut self) {
        self.needed = 0;
    }

    /// Decides when to collect the next time. `scanned` is how many bytes the last collection had
    /// to look at besides the objects that it moved.
    pub(crate) fn set_pace(&mut self, scanned: u64) {
        // What was needed a short while ago is often needed again.
        let before = (self.needed - self.needed / 4).min(ROOMY / ROOMY_TIMES);
        self.needed = self.live().max(before);
        self.collect_at = self.next() + pace(self.needed, scanned);
    }

    /// Notes that the objects at `from` were moved to what is now `start..end`.
    ///
    /// # Safety
    /// The memory must be writable there, and nobody else use it.
    pub(crate) unsafe fn collected(&mut self, from: Range<u64>, start: u64, end: u64) {
        if from.is_empty() {
            return;
        }
        self.highest = self.highest.max(from.end).max(end);
        (self.start, self.live_end) = (start, end);
        // SAFETY: the caller's promise; where the next object goes has been written when the first
        // one was made.
        unsafe {
            *self.base().wrapping_add(NEXT as usize).cast::<u64>() = end;
            if self.zeal.is_some() {
                let at = |offset: u64| self.base().wrapping_add(offset as usize);
                at(from.start).write_bytes(POISON, (start - from.start) as usize);
                at(end).write_bytes(POISON, from.end.saturating_sub(end) as usize);
            }
        }
    }

    /// Writes how far code may go on making objects, after a collection has changed that.
    ///
    /// # Safety
    /// Nobody else may use the heap, and the page of the limit must be writable.
    pub(crate) unsafe fn rewrite_limit(&self) {
        // SAFETY: the caller's promise.
        unsafe { *self.base().wrapping_add(LIMIT as usize).cast::<u64>() = self.limit() }
    }

    /// Takes out what a collection works with.
    pub(crate) fn take_tools(&mut self) -> (Shapes, Vec<u64>) {
        (std::mem::take(&mut self.shapes), std::mem::take(&mut self.buffer))
    }

    /// Puts that back, unless it is large.
    pub(crate) fn put_tools(&mut self, shapes: Shapes, buffer: Vec<u64>) {
        self.shapes = shapes;
        if buffer.capacity() as u64 * ALIGN <= KEPT {
            self.buffer = buffer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_needed_the_later_is_the_next_collection() {
        const MIB: u64 = 1 << 20;
        let needed = [0, MIB / 16, MIB, 2 * MIB, 4 * MIB, 8 * MIB, 100 * MIB];
        let new = [MIB / 2, MIB / 2, 8 * MIB, 16 * MIB, 16 * MIB, 16 * MIB, 200 * MIB];
        assert_eq!(needed.map(|needed| pace(needed, 0)), new);
        // What was only looked at is paid for as well.
        assert_eq!([pace(0, 100 * MIB), pace(100 * MIB, 100 * MIB)], [25 * MIB, 200 * MIB]);
    }
}

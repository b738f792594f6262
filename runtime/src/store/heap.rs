//! Describes the heap of a store: where its structures and arrays are.
//!
//! The first instance of the store whose module has types of structures or arrays brings the heap: the memory of an
//! instance that has nothing else. All later ones share it. If the embedder makes an object before, its heap is the store's.

use crate::types::RegisteredTypes;
use crate::vmctx::{MemorySpace, VmContext};
use minirt_compiler::instance::layout::object::{ARRAY_FLAG, BIAS, FIRST, NEXT, Parts, TAG_MASK, parts};
use minirt_compiler::module::CompositeType;
use rustc_hash::FxHashMap;

/// The heap of a store.
#[derive(Debug)]
pub(crate) struct Heap {
    pub(crate) memory: MemorySpace,
    /// The instance that brought it, by its place in the store. The instance of the memory is behind it.
    pub(crate) owner_index: u32,
    /// References to functions in objects are distances from here.
    pub(crate) owner: VmContext,
    /// How many instances use it.
    pub(crate) users: u32,
    /// The types of what the embedder has made, which keep their numbers as long as the store.
    types: FxHashMap<u32, RegisteredTypes>,
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
    pub(crate) fn new(memory: MemorySpace, owner_index: u32, owner: VmContext) -> Self {
        Self { memory, owner_index, owner, users: 0, types: FxHashMap::default() }
    }

    /// Keeps a type known as long as the store. `hold` is asked for a reference to it, at most once.
    pub(crate) fn hold(&mut self, number: u32, hold: impl FnOnce() -> RegisteredTypes) {
        self.types.entry(number).or_insert_with(hold);
    }

    /// Returns the address that offsets count from.
    pub(crate) fn base(&self) -> *mut u8 {
        self.memory.base.wrapping_sub(BIAS as usize)
    }

    /// Returns the 64 bits at an offset, which has to be a multiple of 8. `None` if they are not within the heap.
    pub(crate) fn word(&self, offset: u64) -> Option<u64> {
        let end = BIAS + self.memory.len();
        if offset < BIAS || offset.checked_add(8)? > end || !offset.is_multiple_of(8) {
            return None;
        }
        // SAFETY: the word is within the memory, which belongs to a live instance, and it is aligned.
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

    /// Calls `visit` with the offset and the parts of each object, until one of them cannot be. `ty` gives what a type's
    /// number stands for.
    pub(crate) fn visit<'t>(
        &self,
        ty: impl Fn(u32) -> Option<&'t CompositeType>,
        mut visit: impl FnMut(u64, &Parts<'t>),
    ) {
        let (mut at, end) = (FIRST, self.word(NEXT).unwrap_or(FIRST));
        while at < end {
            let Some(header) = u32::try_from(at).ok().and_then(|at| self.header(at)) else { return };
            let Some(ty) = ty(header.ty).filter(|ty| ty.as_func().is_none()) else { return };
            let parts = parts(ty, header.len);
            visit(at, &parts);
            at += parts.size;
        }
    }
}

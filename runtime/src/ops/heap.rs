//! Makes objects in a store's heap, and copies into them.

use super::bulk::{check_elements, element, element_segment, in_segment, memory_copy, memory_read, memory_write};
use super::grow::memory_grow;
use crate::store::{Heap, StoreInner};
use crate::vmctx::{MemorySpace, View, VmContext, store_reference};
use anyhow::{Result, ensure};
use minirt_compiler::Trap;
use minirt_compiler::instance::layout::object::{self, BIAS, FIELDS, LIMIT, NEXT};
use minirt_compiler::module::{CompositeType, Contents, RefKind, StorageType, ValType, WASM_PAGE};

/// Returns a word that says where objects are made.
///
/// # Safety
/// The memory must be that of a live heap.
unsafe fn control(memory: MemorySpace, at: u64) -> u64 {
    let mut word = [0; 8];
    // SAFETY: the caller's promise.
    _ = unsafe { memory_read(memory, at - BIAS, &mut word) };
    u64::from_le_bytes(word)
}

/// Makes room for an object of `size` bytes, a multiple of [`object::ALIGN`]. Returns its offset, and `None` if there is no
/// room.
///
/// # Errors
/// Returns the limiter's error.
///
/// # Safety
/// No Rust reference may point into the heap of the store, and nobody else use the description of its instance.
pub(crate) unsafe fn allocate(store: &mut StoreInner, size: u64) -> Result<Option<u64>> {
    let Some(Heap { memory, .. }) = store.heap else { return Ok(None) };
    // SAFETY: the caller's promise.
    unsafe {
        let next = control(memory, NEXT);
        let Some(end) = next.checked_add(size).filter(|end| *end <= BIAS + object::HEAP_MAX) else { return Ok(None) };
        if end > BIAS + memory.len() && !grow(store, memory, end - BIAS)? {
            return Ok(None);
        }
        let written = memory_write(memory, NEXT - BIAS, &end.to_le_bytes());
        Ok(written.is_ok().then_some(next))
    }
}

/// Grows a heap to at least `wanted` bytes, and more if there is room.
///
/// # Safety
/// As for [`allocate`].
unsafe fn grow(store: &mut StoreInner, memory: MemorySpace, wanted: u64) -> Result<bool> {
    let pages = |bytes: u64| bytes.div_ceil(WASM_PAGE);
    let (now, least, most) = (pages(memory.len()), pages(wanted), pages(object::HEAP_MAX + 1) - 1);
    let roomy = least.max(now + now / 2).min(most);
    // SAFETY: the caller's promise.
    unsafe {
        let grown = memory_grow(store, memory, roomy - now)?.is_some()
            || least < roomy && memory_grow(store, memory, least - now)?.is_some();
        let limit = BIAS + memory.len();
        Ok(grown && memory_write(memory, LIMIT - BIAS, &limit.to_le_bytes()).is_ok())
    }
}

/// Makes an object that holds values as Wasm sees them. `number` is the engine's for its type. Returns the reference.
///
/// # Errors
/// Returns an error if there is no room, and the limiter's.
///
/// # Safety
/// As for [`allocate`]; references among the values must be of this store.
pub(crate) unsafe fn new_object(
    store: &mut StoreInner,
    number: u32,
    ty: &CompositeType,
    contents: Contents<'_>,
) -> Result<u128> {
    let Some(owner) = store.heap.as_ref().map(|heap| heap.owner) else {
        anyhow::bail!("the store has no heap");
    };
    let stored = |ty: StorageType, value: u128| match ty {
        StorageType::ValType(ValType::Ref(ty)) if ty.heap.kind() == RefKind::Func => {
            u128::from(store_reference(RefKind::Func, value as u64, owner))
        }
        _ => value,
    };
    let len = match contents {
        Contents::Values(values) => values.len() as u32,
        Contents::Repeat(_, len) => len,
        Contents::Default => 0,
    };
    let parts = object::parts(ty, len);
    ensure!(parts.size <= object::HEAP_MAX, Trap::GcHeapOutOfMemory);
    let types: Vec<StorageType> = match contents {
        Contents::Values(_) => parts.iter().map(|(_, ty)| ty).collect(),
        Contents::Repeat(..) => parts.iter().map(|(_, ty)| ty).take(1).collect(),
        Contents::Default => Vec::new(),
    };
    let values: Vec<u128>;
    let contents = match contents {
        Contents::Values(given) => {
            values = types.into_iter().zip(given).map(|(ty, value)| stored(ty, *value)).collect();
            Contents::Values(&values)
        }
        Contents::Repeat(value, len) => Contents::Repeat(types.first().map_or(0, |ty| stored(*ty, value)), len),
        Contents::Default => Contents::Default,
    };
    // SAFETY: the caller's promise.
    unsafe {
        let reference = allocate(store, parts.size)?.ok_or(Trap::GcHeapOutOfMemory)?;
        let mut bytes = Vec::new();
        object::append(&mut bytes, parts.size, number, ty, contents).ok_or(Trap::GcHeapOutOfMemory)?;
        let Some(Heap { memory, .. }) = store.heap else { unreachable!("an object was just made in it") };
        memory_write(memory, reference - BIAS, &bytes)?;
        Ok(reference.into())
    }
}

/// Copies bytes within a heap, between addresses that compiled code has computed.
///
/// # Safety
/// No Rust reference may point into the heap.
pub(crate) unsafe fn copy(memory: MemorySpace, to: u64, from: u64, len: u64) -> Result<(), Trap> {
    let offset = |address: u64| address.wrapping_sub(memory.base as u64);
    // SAFETY: the caller's promise; the addresses are checked there.
    unsafe { memory_copy(memory, offset(to), memory, offset(from), len) }
}

/// Where elements go that a segment has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elements {
    /// The array, and 0 for none: then only the segment is checked.
    pub(crate) array: u64,
    /// Bytes of an element.
    pub(crate) size: u64,
    pub(crate) at: u64,
    pub(crate) len: u64,
}

impl Elements {
    fn offset(self) -> u64 {
        (self.array + FIELDS + self.at * self.size).wrapping_sub(BIAS)
    }
}

/// Copies a part of a data segment into an array.
///
/// # Safety
/// The view must be of a live instance, and no Rust reference point into the heap.
pub(crate) unsafe fn init_data(
    view: View<'_>,
    memory: MemorySpace,
    segment: u32,
    from: u64,
    to: Elements,
) -> Result<(), Trap> {
    // SAFETY: the caller's promise.
    unsafe {
        let bytes = in_segment(view, segment, from, to.len * to.size)?;
        if to.array != 0 { memory_write(memory, to.offset(), bytes) } else { Ok(()) }
    }
}

/// Copies a part of an element segment into an array.
///
/// # Safety
/// As for [`init_data`].
pub(crate) unsafe fn init_elements(
    view: View<'_>,
    memory: MemorySpace,
    owner: VmContext,
    segment: u32,
    from: u64,
    to: Elements,
) -> Result<(), Trap> {
    // SAFETY: the caller's promise.
    unsafe {
        let segment = element_segment(view, segment);
        let from = check_elements(segment, from, to.len)?;
        let Some(segment) = segment.filter(|_| to.array != 0) else { return Ok(()) };
        let kind = segment.ty.heap.kind();
        for index in 0..to.len {
            let value = store_reference(kind, element(view, segment, from + index as usize), owner);
            let offset = to.offset() + index * to.size;
            memory_write(memory, offset, &value.to_le_bytes()[..to.size as usize])?;
        }
        Ok(())
    }
}

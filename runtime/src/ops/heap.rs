//! Makes objects in a store's heap, and copies into them.

use super::bulk::{
    check_elements, element, element_segment, in_segment, memory_copy, memory_fill, memory_read, memory_write,
};
use super::grow::heap_grow;
use crate::call::collect::collect;
use crate::store::{Heap, StoreInner};
use crate::vmctx::{MemorySpace, View, VmContext, store_reference};
use anyhow::{Result, ensure};
use minirt_compiler::Trap;
use minirt_compiler::instance::layout::object::{self, BIAS, FIELDS, LIMIT, NEXT};
use minirt_compiler::module::{CompositeType, Contents, RefKind, StorageType, ValType, WASM_PAGE};

/// How many elements of an array that all have one value are written at a time. They end where an
/// object can.
const CHUNK: u32 = 4096;

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

/// Makes room for an object of `size` bytes, a multiple of [`object::ALIGN`]. Returns its offset,
/// and `None` if there is no room. Never collects: what makes an instance holds references that no
/// root has.
///
/// # Errors
/// Returns the limiter's error.
///
/// # Safety
/// No Rust reference may point into the heap of the store, and nobody else use the description of
/// its instance.
pub(crate) unsafe fn extend(store: &mut StoreInner, size: u64) -> Result<Option<u64>> {
    let Some(&Heap { memory, .. }) = store.heap.as_deref() else { return Ok(None) };
    // SAFETY: the caller's promise.
    unsafe {
        let Some(end) = end_of(control(memory, NEXT), size) else { return Ok(None) };
        let has_room = end <= BIAS + memory.len() || grow(store, memory, end - BIAS)?;
        Ok(if has_room { take(store, end, size) } else { None })
    }
}

/// Makes room as [`extend`] does, and collects if there is none otherwise.
///
/// # Errors
/// Returns the limiter's error.
///
/// # Panics
/// As [`allocate_from`].
///
/// # Safety
/// As for [`extend`], and for [`collect()`] in the host.
pub(crate) unsafe fn extend_or_collect(store: &mut StoreInner, size: u64) -> Result<Option<u64>> {
    // SAFETY: the caller's promise.
    unsafe {
        if let Ok(Some(at)) = extend(store, size) {
            return Ok(Some(at));
        }
        drop(collect(store, 0, &mut []));
        extend(store, size)
    }
}

/// Makes room for an object that the host makes, as [`allocate_from`] does.
///
/// # Errors
/// Returns the limiter's error.
///
/// # Panics
/// As [`allocate_from`].
///
/// # Safety
/// As for [`allocate_from`].
pub(crate) unsafe fn allocate(store: &mut StoreInner, size: u64) -> Result<Option<u64>> {
    store.touched = true;
    // SAFETY: the caller's promise.
    unsafe { allocate_from(store, size, 0) }
}

/// Makes room for an object as [`extend`] does, and collects if it is time to, or there is no room
/// otherwise. `frame` is that of what compiled code has called, or 0 in the host.
///
/// After a collection there has to be room for a sixteenth of what is left, too. So what
/// collections cost is in proportion to what code allocates, also where it is close to its limit.
///
/// # Errors
/// Returns the limiter's error.
///
/// # Panics
/// Panics with the panic of the embedder's code, if a value of the embedder was dropped. There is
/// no object then, and otherwise the store is as it should be.
///
/// # Safety
/// As for [`extend`] and [`collect()`].
pub(crate) unsafe fn allocate_from(store: &mut StoreInner, size: u64, frame: usize) -> Result<Option<u64>> {
    let Some(heap) = &mut store.heap else { return Ok(None) };
    if size > object::HEAP_MAX {
        return Ok(None);
    }
    let memory = heap.memory;
    let (now, next, made) = (heap.count_for_zeal(), heap.next(), heap.made() + size);
    let mut collected = now || next + size > heap.collect_at;
    // SAFETY: the caller's promise.
    unsafe {
        if collected {
            collect_for(store, frame, made);
        }
        loop {
            let (next, live) = store.heap.as_ref().map_or((0, 0), |heap| (heap.next(), heap.live()));
            let slack = if collected { live / 16 } else { 0 };
            let wanted = end_of(next, size).map(|end| end + slack - BIAS);
            let grown = match wanted {
                Some(wanted) if wanted <= memory.len() => Ok(true),
                Some(wanted) => grow(store, memory, wanted),
                None => Ok(false),
            };
            match grown {
                Ok(true) => return Ok(take(store, next + size, size)),
                _ if !collected => {
                    collect_for(store, frame, made);
                    collected = true;
                }
                failed => return failed.map(|_| None),
            }
        }
    }
}

/// Collects to make room. `made` is how many bytes of objects were made since the last collection.
///
/// Code pays for the rest with fuel: for tables, globals and whatever else was looked at that so
/// few objects do not pay for. There are few where the heap may not grow. What is in frames is
/// free: that depends on how code was optimised.
///
/// # Panics
/// As [`allocate_from`].
///
/// # Safety
/// As for [`collect()`].
unsafe fn collect_for(store: &mut StoreInner, frame: usize, made: u64) {
    // SAFETY: the caller's promise.
    let dead = unsafe { collect(store, frame, &mut []) };
    let unpaid = store.heap.as_ref().map_or(0, |heap| heap.unpaid(made));
    if frame != 0 && store.engine.metering().fuel {
        let allowance = store.allowance.get_mut();
        allowance.fuel = allowance.fuel.saturating_sub_unsigned(unpaid / object::ALIGN);
    }
    drop(dead);
}

/// Returns where an object ends. `None` if no reference leads there.
fn end_of(next: u64, size: u64) -> Option<u64> {
    next.checked_add(size).filter(|end| *end <= BIAS + object::HEAP_MAX)
}

/// Takes the room of the next object, which ends at `end`.
///
/// # Safety
/// As for [`extend`]; the memory must have the room.
unsafe fn take(store: &mut StoreInner, end: u64, size: u64) -> Option<u64> {
    let heap = store.heap.as_mut()?;
    heap.collect_at = heap.collect_at.max(end);
    let memory = heap.memory;
    // SAFETY: the caller's promise.
    let written = unsafe { memory_write(memory, NEXT - BIAS, &end.to_le_bytes()) };
    written.ok()?;
    publish_limit(store).ok()?;
    Some(end - size)
}

/// Writes how far code may go on making objects without asking.
///
/// # Errors
/// If the kernel refuses to make it writable.
pub(crate) fn publish_limit(store: &StoreInner) -> Result<(), Trap> {
    let Some(heap) = &store.heap else { return Ok(()) };
    // SAFETY: the heap is alive, and nobody else uses it while the host has the store.
    unsafe { memory_write(heap.memory, LIMIT - BIAS, &heap.limit().to_le_bytes()) }
}

/// Notes that the heap is what it is in the image again.
///
/// # Errors
/// As [`publish_limit`].
pub(crate) fn restart(store: &mut StoreInner) -> Result<(), Trap> {
    if let Some(heap) = &mut store.heap {
        heap.restart();
    }
    publish_limit(store)
}

/// Leaves nothing in the heap but the objects that can be reached, without gaps.
///
/// # Errors
/// If there is no memory to collect, or the kernel refuses to make the heap writable.
///
/// # Safety
/// As for [`collect()`], with no code of the store at work.
pub(crate) unsafe fn tidy(store: &mut StoreInner) -> Result<(), Trap> {
    let Some(heap) = &mut store.heap else { return Ok(()) };
    let zeal = heap.suspend_zeal();
    // SAFETY: the caller's promise.
    let dead = unsafe { collect(store, 0, &mut []) };
    let Some(heap) = &mut store.heap else { return Ok(()) };
    heap.resume_zeal(zeal);
    if !heap.is_tidy() {
        // There was no memory for the collection.
        drop(dead);
        return Err(Trap::GcHeapOutOfMemory);
    }
    let (memory, rest) = (heap.memory, heap.left_behind());
    // SAFETY: as above.
    let cleared = unsafe { memory_fill(memory, rest.start - BIAS, 0, rest.end - rest.start) };
    drop(dead);
    cleared?;
    publish_limit(store)
}

/// Grows a heap to at least `wanted` bytes, and as far as it may go without a collection if there
/// is room.
///
/// # Safety
/// As for [`extend`].
unsafe fn grow(store: &mut StoreInner, memory: MemorySpace, wanted: u64) -> Result<bool> {
    let pages = |bytes: u64| bytes.div_ceil(WASM_PAGE);
    let (now, least, most) = (pages(memory.len()), pages(wanted), object::HEAP_MAX / WASM_PAGE);
    let collect_at = store.heap.as_ref().map_or(0, |heap| heap.collect_at - BIAS);
    let roomy = least.max(pages(collect_at).min(most));
    // SAFETY: the caller's promise.
    unsafe {
        // What a limiter says about more than is needed stops nobody, even if it fails.
        if least < roomy && heap_grow(store, memory, roomy - now).unwrap_or(false) {
            return Ok(true);
        }
        heap_grow(store, memory, least - now)
    }
}

/// Makes an object that holds values as Wasm sees them. `number` is the engine's for its type.
/// Returns the reference.
///
/// # Errors
/// Returns an error if there is no room, and the limiter's.
///
/// # Safety
/// As for [`extend`]; references among the values must be of this store.
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
        let reference = extend(store, parts.size)?.ok_or(Trap::GcHeapOutOfMemory)?;
        let Some(&Heap { memory, .. }) = store.heap.as_deref() else { unreachable!("an object was just made in it") };
        write_object(memory, reference, parts.size, number, ty, contents)?;
        Ok(reference.into())
    }
}

/// Writes an object of `size` bytes. Of an array that may be very long, the host holds a part.
///
/// # Safety
/// As for [`extend`], which must have made room for it.
unsafe fn write_object(
    memory: MemorySpace,
    reference: u64,
    size: u64,
    number: u32,
    ty: &CompositeType,
    contents: Contents<'_>,
) -> Result<()> {
    let first = match contents {
        Contents::Repeat(value, len) => Contents::Repeat(value, len.min(CHUNK)),
        all => all,
    };
    let mut bytes = Vec::new();
    object::append(&mut bytes, size, number, ty, first).ok_or(Trap::GcHeapOutOfMemory)?;
    if let Contents::Repeat(_, len) = contents {
        bytes[object::LENGTH as usize..][..4].copy_from_slice(&len.to_le_bytes());
    }
    // SAFETY: the caller's promise.
    unsafe {
        memory_write(memory, reference - BIAS, &bytes)?;
        let (mut at, end) = (reference + bytes.len() as u64, reference + size);
        while at < end {
            let elements = &bytes[FIELDS as usize..];
            let some = &elements[..elements.len().min((end - at) as usize)];
            memory_write(memory, at - BIAS, some)?;
            at += some.len() as u64;
        }
    }
    Ok(())
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

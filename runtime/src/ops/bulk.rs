//! Implements the specification's operations on whole memories and tables: grow, copy, fill, init.
//!
//! One implementation serves compiled code (through `builtins`), instantiation and the embedder's
//! handles. Everything is checked against the current sizes. An operation that cannot be done
//! returns a trap, and never panics.

use super::constant::{evaluate, function};
use crate::pool::InstanceData;
use crate::sys::mapping::page_size;
use crate::vmctx::{MemorySpace, Space, TableSpace, View, VmContext, load_reference, store_reference};
use minirt_compiler::Trap;
use minirt_compiler::instance::layout::{DropFlag, MEMORY_RESERVED, TablePlace};
use minirt_compiler::module::{ElementItems, ElementSegment, RefKind};

/// Checks that `at..at + len` lies within `size`, and returns `at`.
fn checked(at: u64, len: u64, size: u64, trap: Trap) -> Result<usize, Trap> {
    match at.checked_add(len) {
        Some(end) if end <= size => Ok(at as usize),
        _ => Err(trap),
    }
}

/// Returns the address of the elements `at..at + len` of a space, which must have them all.
///
/// # Safety
/// The space must be of a live instance.
unsafe fn inside<E>(space: Space<E>, at: u64, len: u64, trap: Trap) -> Result<*mut E, Trap> {
    // SAFETY: the caller's promise.
    let size = unsafe { *space.size };
    Ok(space.base.wrapping_add(checked(at, len, size, trap)?))
}

/// Does the same, and makes them writable: in a tracked slot they may be read-only.
///
/// # Safety
/// The space must be of a live instance whose description nobody else uses.
unsafe fn to_write<E>(space: Space<E>, at: u64, len: u64, trap: Trap) -> Result<*mut E, Trap> {
    // SAFETY: the caller's promise.
    let (at, owner) = unsafe { (inside(space, at, len, trap)?, InstanceData::of(space.owner)) };
    // If the kernel has no memory for another mapping, the best that is left is to fail like an
    // access out of bounds.
    owner.slot.make_writable(at.cast(), len as usize * size_of::<E>()).map_or(Err(trap), |()| Ok(at))
}

/// Returns the address at which `len` bytes can be read.
///
/// # Safety
/// As for [`inside`].
unsafe fn in_memory(memory: MemorySpace, at: u64, len: u64) -> Result<*mut u8, Trap> {
    // SAFETY: the caller's promise.
    unsafe { inside(memory, at, len, Trap::MemoryOutOfBounds) }
}

/// Returns the address at which `len` elements can be read.
///
/// # Safety
/// As for [`inside`].
unsafe fn in_table(table: TableSpace, at: u64, len: u64) -> Result<*mut u64, Trap> {
    // SAFETY: the caller's promise.
    unsafe { inside(table, at, len, Trap::TableOutOfBounds) }
}

/// Returns the address at which `len` bytes can be written.
///
/// # Safety
/// As for [`to_write`].
unsafe fn memory_to_write(memory: MemorySpace, at: u64, len: u64) -> Result<*mut u8, Trap> {
    // SAFETY: the caller's promise.
    unsafe { to_write(memory, at, len, Trap::MemoryOutOfBounds) }
}

/// Returns the address at which `len` elements can be written.
///
/// # Safety
/// As for [`to_write`].
unsafe fn table_to_write(table: TableSpace, at: u64, len: u64) -> Result<*mut u64, Trap> {
    // SAFETY: the caller's promise.
    unsafe { to_write(table, at, len, Trap::TableOutOfBounds) }
}

/// Grows a memory by `delta` pages and returns how many it had; `None` if it cannot grow that far.
///
/// # Safety
/// The memory must be of a live instance whose description nobody else uses.
pub(crate) unsafe fn memory_grow(memory: MemorySpace, delta: u64) -> Option<u64> {
    // SAFETY: the caller's promise.
    let (owner, bytes) = unsafe { (InstanceData::of(memory.owner), *memory.size) };
    let ty = owner.prototype.info().memories[memory.index as usize];
    // A size of 32 bits cannot express 2^32 pages of one byte.
    let expressible = if ty.memory64 { u64::MAX } else { u64::from(u32::MAX) };
    let most = ty.maximum.unwrap_or(expressible).min(expressible).min(MEMORY_RESERVED / ty.page_size());
    let old = bytes / ty.page_size();
    let new = old.checked_add(delta).filter(|pages| *pages <= most)?;
    if delta > 0 {
        let bytes = new * ty.page_size();
        owner.slot.grow_memory((bytes as usize).next_multiple_of(page_size())).ok()?;
        // SAFETY: the caller's promise.
        unsafe { *memory.size = bytes }
    }
    Some(old)
}

/// Copies within a memory, or from one to another.
///
/// # Safety
/// Both memories must be of live instances, and no Rust reference may point into them.
pub(crate) unsafe fn memory_copy(
    to: MemorySpace,
    to_at: u64,
    from: MemorySpace,
    from_at: u64,
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: both ranges were checked against what is accessible; `copy` allows them to overlap.
    unsafe {
        let (from, to) = (in_memory(from, from_at, len)?, memory_to_write(to, to_at, len)?);
        std::ptr::copy(from, to, len as usize);
    }
    Ok(())
}

/// Fills a part of a memory with one byte.
///
/// # Safety
/// As for [`memory_copy`].
pub(crate) unsafe fn memory_fill(memory: MemorySpace, at: u64, byte: u8, len: u64) -> Result<(), Trap> {
    // SAFETY: the range was checked against what is accessible.
    unsafe { std::ptr::write_bytes(memory_to_write(memory, at, len)?, byte, len as usize) }
    Ok(())
}

/// Copies bytes of the host into a memory.
///
/// # Safety
/// As for [`memory_copy`].
pub(crate) unsafe fn memory_write(memory: MemorySpace, at: u64, bytes: &[u8]) -> Result<(), Trap> {
    // SAFETY: the range was checked against what is accessible, and host memory is elsewhere.
    unsafe {
        let to = memory_to_write(memory, at, bytes.len() as u64)?;
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
    }
    Ok(())
}

/// Copies a part of a data segment into a memory.
///
/// # Safety
/// The view must be of a live instance, and no Rust reference may point into its memory.
pub(crate) unsafe fn memory_init(
    view: View<'_>,
    memory: u32,
    segment: u32,
    at: u64,
    from: u64,
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: the flag is part of the state; the caller's promise.
    unsafe {
        let bytes = in_segment(view, segment, from, len)?;
        memory_write(view.memory(memory), at, bytes)
    }
}

/// Returns `len` bytes of a data segment.
///
/// # Safety
/// The view must be of a live instance.
pub(crate) unsafe fn in_segment(view: View<'_>, segment: u32, from: u64, len: u64) -> Result<&[u8], Trap> {
    // SAFETY: the caller's promise.
    let dropped = unsafe { view.is_dropped(view.layout.data_dropped(segment)) };
    let segment = view.module.data_segment(segment).filter(|_| !dropped);
    let bytes = segment.map_or(&[][..], |segment| view.module.segment_bytes(segment));
    let from = checked(from, len, bytes.len() as u64, Trap::MemoryOutOfBounds)?;
    Ok(&bytes[from..from + len as usize])
}

/// Copies bytes of a memory to the host.
///
/// # Safety
/// The memory must be of a live instance.
pub(crate) unsafe fn memory_read(memory: MemorySpace, at: u64, bytes: &mut [u8]) -> Result<(), Trap> {
    // SAFETY: the range was checked against what is accessible, and host memory is elsewhere.
    unsafe {
        let from = in_memory(memory, at, bytes.len() as u64)?;
        std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len());
    }
    Ok(())
}

/// Notes that a segment has been dropped.
///
/// # Safety
/// The view must be of a live instance.
pub(crate) unsafe fn drop_segment(view: View<'_>, flag: Option<DropFlag>) {
    if let Some(flag) = flag {
        // SAFETY: the flag is part of the state.
        unsafe { *view.vmctx.at::<u8>(flag.at) |= flag.mask }
    }
}

fn kind(table: TableSpace) -> RefKind {
    // SAFETY: tables belong to live instances, and only what never changes is read here.
    let owner = unsafe { InstanceData::shared(table.owner) };
    owner.prototype.info().tables[table.index as usize].element.heap.kind()
}

/// Returns the element at `at`, as Wasm sees references.
///
/// # Safety
/// The table must be of a live instance.
pub(crate) unsafe fn table_get(table: TableSpace, at: u64) -> Result<u64, Trap> {
    // SAFETY: the index is checked against what is there.
    let stored = unsafe { *in_table(table, at, 1)? };
    Ok(load_reference(kind(table), stored, table.owner))
}

/// Fills a part of a table with one reference.
///
/// # Safety
/// The table must be of a live instance.
pub(crate) unsafe fn table_fill(table: TableSpace, at: u64, value: u64, len: u64) -> Result<(), Trap> {
    let stored = store_reference(kind(table), value, table.owner);
    // SAFETY: the range is checked against what is there.
    unsafe { std::slice::from_raw_parts_mut(table_to_write(table, at, len)?, len as usize) }.fill(stored);
    Ok(())
}

/// Grows a table by `delta` elements of `value` and returns how many it had; `None` if it cannot
/// grow that far.
///
/// # Safety
/// The table must be of a live instance.
pub(crate) unsafe fn table_grow(table: TableSpace, value: u64, delta: u64) -> Option<u64> {
    // SAFETY: the caller's promise.
    let (owner, old) = unsafe { (InstanceData::of(table.owner), *table.size) };
    let TablePlace::State { capacity, .. } = owner.prototype.layout().table(table.index) else { return None };
    let most = owner.prototype.info().tables[table.index as usize].maximum.unwrap_or(u64::MAX).min(capacity);
    let new = old.checked_add(delta).filter(|elements| *elements <= most)?;
    if delta == 0 {
        return Some(old); // A size that is constant must not be written at all.
    }
    // SAFETY: there is room up to the capacity. The new elements are part of the table only if they
    // could be filled.
    unsafe {
        *table.size = new;
        table_fill(table, old, value, delta).inspect_err(|_| *table.size = old).ok()?;
    }
    Some(old)
}

/// Copies within a table, or from one to another.
///
/// # Safety
/// Both tables must be of live instances.
pub(crate) unsafe fn table_copy(
    to: TableSpace,
    to_at: u64,
    from: TableSpace,
    from_at: u64,
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: both ranges are checked against what is there; `copy` allows them to overlap.
    unsafe {
        let (source, target) = (in_table(from, from_at, len)?, table_to_write(to, to_at, len)?);
        std::ptr::copy(source, target, len as usize);
        if to.owner != from.owner {
            rebase(kind(to), std::slice::from_raw_parts_mut(target, len as usize), from.owner, to.owner);
        }
    }
    Ok(())
}

/// Converts elements that were copied from a table of `from` to one of `to`: a funcref is a
/// distance from its owner.
fn rebase(kind: RefKind, elements: &mut [u64], from: VmContext, to: VmContext) {
    match kind {
        RefKind::Func => elements
            .iter_mut()
            .for_each(|element| *element = store_reference(kind, load_reference(kind, *element, from), to)),
        RefKind::Extern | RefKind::Any | RefKind::Exn => {}
    }
}

/// Copies a part of an element segment into a table.
///
/// # Safety
/// The view must be of a live instance whose globals are initialised.
pub(crate) unsafe fn table_init(
    view: View<'_>,
    table: u32,
    segment: u32,
    at: u64,
    from: u64,
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: the caller's promise.
    unsafe { table_write(view, view.table(table), element_segment(view, segment), at, from, len) }
}

/// Writes some of a segment's elements to a table. `None` is a segment that has been dropped, which
/// has none.
///
/// # Safety
/// As for [`table_init`].
pub(crate) unsafe fn table_write(
    view: View<'_>,
    space: TableSpace,
    segment: Option<&ElementSegment>,
    at: u64,
    from: u64,
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: the range is checked against what is there, `from` against the segment.
    unsafe {
        let from = check_elements(segment, from, len)?;
        let to = table_to_write(space, at, len)?;
        let (kind, Some(segment)) = (kind(space), segment) else { return Ok(()) };
        for i in 0..len as usize {
            *to.add(i) = store_reference(kind, element(view, segment, from + i), space.owner);
        }
    }
    Ok(())
}

/// Returns an element segment, unless it has been dropped.
///
/// # Safety
/// The view must be of a live instance.
pub(crate) unsafe fn element_segment(view: View<'_>, segment: u32) -> Option<&ElementSegment> {
    // SAFETY: the caller's promise.
    let dropped = unsafe { view.is_dropped(view.layout.element_dropped(segment)) };
    view.module.element_segment(segment).filter(|_| !dropped)
}

/// Checks that a segment has the elements `from..from + len`, and returns `from`.
pub(crate) fn check_elements(segment: Option<&ElementSegment>, from: u64, len: u64) -> Result<usize, Trap> {
    let length = segment.map_or(0, |segment| segment.items.len());
    checked(from, len, length as u64, Trap::TableOutOfBounds)
}

/// Returns an element of a segment, as Wasm sees references. If it is a new object, it must be one
/// that the instance keeps.
///
/// # Safety
/// As for [`table_init`]; the segment must have the element.
pub(crate) unsafe fn element(view: View<'_>, segment: &ElementSegment, index: usize) -> u64 {
    // SAFETY: the values that an instance keeps are part of its state.
    unsafe {
        if let Some(at) = view.layout.element_values(segment.index) {
            return *view.vmctx.at::<u64>(at).add(index);
        }
        match &segment.items {
            ElementItems::Functions(funcs) => function(view, funcs[index]) as u64,
            ElementItems::Expressions(exprs) => evaluate(view, &exprs[index]) as u64,
        }
    }
}

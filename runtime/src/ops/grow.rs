//! Grows memories, tables and heaps within their store's quota.
//!
//! Without a limiter, the quota is one comparison.

use super::bulk;
use crate::pool::InstanceData;
use crate::store::StoreInner;
use crate::store::quota::{Growth, maximum_bytes};
use crate::vmctx::{MemorySpace, TableSpace};
use anyhow::{Result, anyhow};
use minirt_compiler::instance::layout::object::HEAP_MAX;
use minirt_compiler::module::WASM_PAGE;

/// Grows a memory by `delta` pages and returns how many it had; `None` if it cannot grow that far.
///
/// # Errors
/// Returns the limiter's error.
///
/// # Safety
/// As for [`bulk::memory_grow`]; the memory must be of this store.
pub(crate) unsafe fn memory_grow(store: &mut StoreInner, memory: MemorySpace, delta: u64) -> Result<Option<u64>> {
    let limited = store.has_limiter() && delta > 0;
    // SAFETY: the caller's promise.
    let ty = unsafe { InstanceData::shared(memory.owner) }.prototype.info().memories[memory.index as usize];
    if limited {
        let current = memory.len();
        let desired = current.saturating_add(delta.saturating_mul(ty.page_size()));
        if !store.ask_memory_growing(Growth { current, desired, maximum: maximum_bytes(&ty) })? {
            return Ok(None);
        }
    }
    // SAFETY: the caller's promise.
    let before = unsafe { bulk::memory_grow(memory, delta) };
    if limited && before.is_none() {
        let error = anyhow!("a memory of {} pages cannot grow by {delta}", memory.len() / ty.page_size());
        store.tell_memory_grow_failed(error)?;
    }
    Ok(before)
}

/// Grows the heap of a store by `delta` pages, and returns whether it could.
///
/// # Errors
/// Returns the limiter's error.
///
/// # Safety
/// As for [`bulk::memory_grow`]; the memory must be that of the store's heap.
pub(crate) unsafe fn heap_grow(store: &mut StoreInner, memory: MemorySpace, delta: u64) -> Result<bool> {
    if store.has_limiter() && delta > 0 {
        let current = memory.len();
        let desired = current.saturating_add(delta.saturating_mul(WASM_PAGE));
        if !store.ask_gc_heap_growing(Growth { current, desired, maximum: Some(HEAP_MAX) })? {
            return Ok(false);
        }
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { bulk::memory_grow(memory, delta) }.is_some())
}

/// Grows a table by `delta` elements of `value` and returns how many it had; `None` if it cannot
/// grow that far.
///
/// # Errors
/// Returns the limiter's error.
///
/// # Safety
/// As for [`bulk::table_grow`]; the table must be of this store.
pub(crate) unsafe fn table_grow(
    store: &mut StoreInner,
    table: TableSpace,
    value: u64,
    delta: u64,
) -> Result<Option<u64>> {
    let limited = store.has_limiter() && delta > 0;
    if limited {
        // SAFETY: the caller's promise.
        let maximum =
            unsafe { InstanceData::shared(table.owner) }.prototype.info().tables[table.index as usize].maximum;
        let current = table.len();
        if !store.ask_table_growing(Growth { current, desired: current.saturating_add(delta), maximum })? {
            return Ok(None);
        }
    }
    // SAFETY: the caller's promise.
    let before = unsafe { bulk::table_grow(table, value, delta) };
    if limited && before.is_none() {
        let error = anyhow!("a table of {} elements cannot grow by {delta}", table.len());
        store.tell_table_grow_failed(error)?;
    }
    Ok(before)
}

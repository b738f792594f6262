//! What compiled code calls back for: the table whose order and shapes `minirt_compiler::builtin` gives.
//!
//! Each builtin finds the instance by its vmctx and does one operation of `bulk`. None of them panics
//! or unwinds; a failure is a return value, and compiled code traps.

use crate::activation;
use crate::bulk;
use crate::instance_data::InstanceData;
use crate::metering;
use crate::store::StoreInner;
use crate::vmctx::{View, VmContext};
use minirt_compiler::Trap;
use minirt_compiler::builtin::Builtin;
use std::ptr::NonNull;

/// A table of code addresses.
#[repr(transparent)]
pub(crate) struct Table([*const u8; Builtin::COUNT]);

// SAFETY: addresses of functions, never written.
unsafe impl Sync for Table {}

/// The table that every instance's host cell points to.
pub(crate) static TABLE: Table = {
    let mut table = [std::ptr::null(); Builtin::COUNT];
    table[Builtin::MemoryGrow as usize] = memory_grow as *const u8;
    table[Builtin::MemoryCopy as usize] = memory_copy as *const u8;
    table[Builtin::MemoryFill as usize] = memory_fill as *const u8;
    table[Builtin::MemoryInit as usize] = memory_init as *const u8;
    table[Builtin::TableGrow as usize] = table_grow as *const u8;
    table[Builtin::TableFill as usize] = table_fill as *const u8;
    table[Builtin::TableCopy as usize] = table_copy as *const u8;
    table[Builtin::TableInit as usize] = table_init as *const u8;
    table[Builtin::CheckSubtype as usize] = check_subtype as *const u8;
    table[Builtin::NewEpoch as usize] = new_epoch as *const u8;
    Table(table)
};

impl Table {
    pub(crate) fn address(&'static self) -> *const u8 {
        self.0.as_ptr().cast()
    }
}

/// The calling instance.
///
/// # Safety
/// `vmctx` must be that of an instance whose code is calling. While it runs, nobody uses the description.
unsafe fn view<'a>(vmctx: VmContext) -> View<'a> {
    // SAFETY: the caller's promise. The module outlives the call, because its code is on the stack.
    unsafe { &*std::ptr::from_mut(InstanceData::of(vmctx)) }.view()
}

fn grown(before: Option<u64>) -> i64 {
    before.map_or(-1, |size| size as i64)
}

fn failed(outcome: Result<(), Trap>) -> u32 {
    u32::from(outcome.is_err())
}

// SAFETY, for all that follow: compiled code calls them with its own vmctx and with indices that validation has
// checked, so the view is of a live instance and the spaces exist. No Rust reference into them is held meanwhile,
// since whoever entered Wasm gave up the store for the time.

unsafe extern "C" fn memory_grow(vmctx: VmContext, memory: u32, delta: u64) -> i64 {
    // SAFETY: see above.
    grown(unsafe { bulk::memory_grow(view(vmctx).memory(memory), delta) })
}

unsafe extern "C" fn memory_copy(vmctx: VmContext, to: u32, to_at: u64, from: u32, from_at: u64, len: u64) -> u32 {
    // SAFETY: see above.
    failed(unsafe {
        let view = view(vmctx);
        bulk::memory_copy(view.memory(to), to_at, view.memory(from), from_at, len)
    })
}

unsafe extern "C" fn memory_fill(vmctx: VmContext, memory: u32, at: u64, byte: u32, len: u64) -> u32 {
    // SAFETY: see above.
    failed(unsafe { bulk::memory_fill(view(vmctx).memory(memory), at, byte as u8, len) })
}

unsafe extern "C" fn memory_init(vmctx: VmContext, memory: u32, segment: u32, at: u64, from: u64, len: u64) -> u32 {
    // SAFETY: see above.
    failed(unsafe { bulk::memory_init(view(vmctx), memory, segment, at, from, len) })
}

unsafe extern "C" fn table_grow(vmctx: VmContext, table: u32, value: u64, delta: u64) -> i64 {
    // SAFETY: see above.
    grown(unsafe { bulk::table_grow(view(vmctx).table(table), value, delta) })
}

unsafe extern "C" fn table_fill(vmctx: VmContext, table: u32, at: u64, value: u64, len: u64) -> u32 {
    // SAFETY: see above.
    failed(unsafe { bulk::table_fill(view(vmctx).table(table), at, value, len) })
}

unsafe extern "C" fn table_copy(vmctx: VmContext, to: u32, to_at: u64, from: u32, from_at: u64, len: u64) -> u32 {
    // SAFETY: see above.
    failed(unsafe {
        let view = view(vmctx);
        bulk::table_copy(view.table(to), to_at, view.table(from), from_at, len)
    })
}

unsafe extern "C" fn table_init(vmctx: VmContext, table: u32, segment: u32, at: u64, from: u64, len: u64) -> u32 {
    // SAFETY: see above.
    failed(unsafe { bulk::table_init(view(vmctx), table, segment, at, from, len) })
}

unsafe extern "C" fn check_subtype(_: VmContext, found: u32, wanted: u32) -> u32 {
    // SAFETY: compiled code runs in an activation, whose store outlives it and is used by nobody else meanwhile.
    let store = unsafe { &*(*activation::current()).store.cast::<StoreInner>() };
    u32::from(!store.engine.is_subtype(found, wanted))
}

unsafe extern "C" fn new_epoch(_: VmContext) -> u32 {
    // SAFETY: as above, and nobody else has a reference to the store. A store is never at address 0.
    let goes_on = unsafe { metering::goes_on(NonNull::new_unchecked((*activation::current()).store.cast())) };
    u32::from(!goes_on)
}

//! Defines the functions that compiled code calls, as the compiler lists them
//! (`minirt_compiler::instance::builtin`).
//!
//! The table is made from that list: a function that is missing here, or has other parameters, does
//! not compile. Each builtin finds the instance by its vmctx and does one operation of `bulk` or
//! `grow`. None of them panics or unwinds: a failure is a return value, for which compiled code
//! traps.

use super::bulk;
use super::grow;
use super::heap::{self, Elements};
use crate::call::unwind::{new_exception, throw, throw_ref};
use crate::pool::InstanceData;
use crate::store::epoch;
use crate::store::{Failure, Heap, StoreInner};
use crate::sys::arch::shim_with_frame;
use crate::vmctx::{View, VmContext};
use minirt_compiler::Trap;
use minirt_compiler::for_each_builtin;
use minirt_compiler::instance::builtin::{ALLOCATION_FAILED, Builtin, GROWTH_FAILED, GROWTH_REFUSED};

/// The addresses of all builtins.
#[repr(transparent)]
pub(crate) struct BuiltinTable([*const u8; Builtin::COUNT]);

// SAFETY: addresses of functions, never written.
unsafe impl Sync for BuiltinTable {}

macro_rules! define_table {
    ($($(#[$doc:meta])* $name:ident = fn $function:ident($($param:ident: $ty:ty),*) -> $result:ty;)*) => {
        /// The table that every instance's host cell points to.
        pub(crate) static TABLE: BuiltinTable = {
            let mut table = [std::ptr::null(); Builtin::COUNT];
            $(
                let function: unsafe extern "C" fn(VmContext $(, $ty)*) -> $result = $function;
                table[Builtin::$name as usize] = function as *const u8;
            )*
            BuiltinTable(table)
        };
    };
}

for_each_builtin!(define_table);

impl BuiltinTable {
    pub(crate) fn address(&'static self) -> *const u8 {
        self.0.as_ptr().cast()
    }
}

/// Returns a view of the calling instance.
///
/// # Safety
/// `vmctx` must be that of an instance whose code is calling. While it runs, nobody uses the
/// description.
unsafe fn view<'a>(vmctx: VmContext) -> View<'a> {
    // SAFETY: the caller's promise. The module outlives the call, because its code is on the stack.
    unsafe { InstanceData::shared(vmctx) }.view()
}

/// Returns the store of the calling code.
///
/// # Safety
/// `vmctx` must be that of an instance whose code is calling. The caller uses the store only while
/// nobody else does.
unsafe fn store<'a>(vmctx: VmContext) -> &'a mut StoreInner {
    // SAFETY: the caller's promise. The store has been lent to the call that has entered the code.
    unsafe { StoreInner::of(vmctx).as_mut() }
}

/// Grows a memory or table, and returns its old size as compiled code expects it. The limiter may
/// fail or panic.
///
/// # Safety
/// As for [`store`].
unsafe fn grown(vmctx: VmContext, grow: impl FnOnce(&mut StoreInner) -> anyhow::Result<Option<u64>>) -> i64 {
    // SAFETY: the caller's promise.
    let store = unsafe { store(vmctx) };
    let grown = Failure::catch(|| grow(store));
    // SAFETY: code is at work in the store, and so there is an activation. The limiter may have
    // moved its stack.
    unsafe { (*store.activation).back_to_wasm() };
    match grown {
        Ok(before) => before.map_or(GROWTH_REFUSED, |size| size as i64),
        Err(failure) => {
            store.failure = Some(failure);
            GROWTH_FAILED
        }
    }
}

fn failed(outcome: Result<(), Trap>) -> u32 {
    u32::from(outcome.is_err())
}

// SAFETY, for all that follow: compiled code calls them with its own vmctx and with indices that
// validation has checked, so the view is of a live instance and the spaces exist. No Rust reference
// into them is held meanwhile, since whoever entered Wasm gave up the store for the time.

unsafe extern "C" fn memory_grow(vmctx: VmContext, memory: u32, delta: u64) -> i64 {
    // SAFETY: see above.
    unsafe { grown(vmctx, |store| grow::memory_grow(store, view(vmctx).memory(memory), delta)) }
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
    unsafe { grown(vmctx, |store| grow::table_grow(store, view(vmctx).table(table), value, delta)) }
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

shim_with_frame! {
    /// Implements the builtin `GcAllocate`.
    fn gc_allocate(_vmctx: VmContext, _size: u64) -> u64 => allocate
}

unsafe extern "C" fn allocate(vmctx: VmContext, size: u64, _: usize, frame: usize) -> u64 {
    // SAFETY: see above.
    let store = unsafe { store(vmctx) };
    // SAFETY: see above. The frame is that of the shim, which compiled code has called, and it
    // holds references only where its stack maps say.
    let made = Failure::catch(|| unsafe { heap::allocate_from(store, size, frame) });
    // SAFETY: as for growth.
    unsafe { (*store.activation).back_to_wasm() };
    match made {
        Ok(offset) => offset.unwrap_or(0),
        Err(failure) => {
            store.failure = Some(failure);
            ALLOCATION_FAILED
        }
    }
}

/// Works in the store's heap, and returns whether that failed. It fails if there is no heap, since
/// there are no arrays then. Code knows which trap it is.
///
/// # Safety
/// As above.
unsafe fn in_heap(vmctx: VmContext, work: impl FnOnce(&Heap) -> Result<(), Trap>) -> u32 {
    // SAFETY: the caller's promise.
    let heap = unsafe { store(vmctx) }.heap.as_ref();
    u32::from(heap.is_none_or(|heap| work(heap).is_err()))
}

unsafe extern "C" fn heap_copy(vmctx: VmContext, to: u64, from: u64, len: u64) -> u32 {
    // SAFETY: see above.
    unsafe { in_heap(vmctx, |heap| heap::copy(heap.memory, to, from, len)) }
}

unsafe extern "C" fn array_init_data(
    vmctx: VmContext,
    to: u64,
    segment: u32,
    size: u32,
    at: u32,
    from: u32,
    len: u32,
) -> u32 {
    let to = Elements { array: to, size: size.into(), at: at.into(), len: len.into() };
    // SAFETY: see above.
    unsafe { in_heap(vmctx, |heap| heap::init_data(view(vmctx), heap.memory, segment, from.into(), to)) }
}

unsafe extern "C" fn array_init_elem(
    vmctx: VmContext,
    to: u64,
    segment: u32,
    size: u32,
    at: u32,
    from: u32,
    len: u32,
) -> u32 {
    let to = Elements { array: to, size: size.into(), at: at.into(), len: len.into() };
    // SAFETY: see above.
    unsafe {
        in_heap(vmctx, |heap| heap::init_elements(view(vmctx), heap.memory, heap.owner, segment, from.into(), to))
    }
}

unsafe extern "C" fn check_subtype(vmctx: VmContext, found: u32, wanted: u32) -> u32 {
    // SAFETY: see above.
    u32::from(!unsafe { store(vmctx) }.engine.is_subtype(found, wanted))
}

unsafe extern "C" fn new_epoch(vmctx: VmContext, frame: *const usize) -> u32 {
    // SAFETY: see above. As for a host function, the trampoline's frame leads to those of the code.
    let may_continue = unsafe {
        let activation = store(vmctx).activation;
        (*activation).leave_wasm(frame);
        let may_continue = epoch::may_continue(StoreInner::of(vmctx));
        (*activation).back_to_wasm();
        may_continue
    };
    u32::from(!may_continue)
}

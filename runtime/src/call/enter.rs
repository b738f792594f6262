//! Enters Wasm, and comes back with results, or with the reason why there are none.

use super::backtrace::WasmBacktrace;
use super::frames::TrapDetails;
use crate::store::{Activation, Failure, StackLimit, StoreInner};
use crate::sys::{arch, signal, stack, thread};
use crate::vmctx::{FuncRecord, HostContext, Raw};
use anyhow::{Context, Error, Result};
use minirt_compiler::Trap;
use std::ptr::NonNull;

/// Calls a function. `values` holds the arguments, and afterwards the results.
///
/// It is not inlined: a fiber may call it on several threads in turn, and what a function has found
/// out about its thread must not be used for the next call.
///
/// # Errors
/// The trap with its backtrace, or what a host function failed with.
///
/// # Panics
/// When a host function panicked, with its panic.
///
/// # Safety
/// The record must be of a function in this store, and `values` have room for as many values as it
/// has parameters or results, with arguments of its types.
#[inline(never)]
pub(crate) unsafe fn call(store: &mut StoreInner, record: NonNull<FuncRecord>, values: *mut Raw) -> Result<()> {
    // SAFETY: records live as long as their store.
    let FuncRecord { code, callee, entry, .. } = *unsafe { record.as_ref() };
    let callee = FuncRecord::callee(record, callee);
    if entry.is_null() {
        // SAFETY: a record without an entry is a host function's, and its callee the host context.
        return unsafe { run(store, CallKind::Host, |_| u32::from(call_host(callee.cast(), values) != 0)) };
    }
    let kind = prepare(store)?;
    store.touched = true;
    // SAFETY: the entry trampoline was compiled for the function's type, and the rest is the
    // caller's promise.
    unsafe { run(store, kind, |activation| arch::enter(entry, callee, code, values.cast(), activation.cast())) }
}

unsafe fn call_host(context: *const HostContext, values: *mut Raw) -> u64 {
    // SAFETY: contexts live as long as their store, and know the function that fits their closure.
    unsafe { ((*context).call)(context, values, std::ptr::null()) }
}

/// The kind of a call, seen from its store.
enum CallKind {
    /// The host calls a host function.
    Host,
    /// The host calls Wasm.
    Wasm,
    /// The host calls Wasm in the middle of a call that runs on another stack, with this limit.
    WasmOnAnotherStack(Box<StackLimit>),
}

/// Makes sure that this thread can run Wasm, and that Wasm stops before the stack does.
#[inline]
fn prepare(store: &mut StoreInner) -> Result<CallKind> {
    let cost = if store.touched { 1 } else { thread::FIRST_ENTRY };
    if !thread::spend(cost) {
        look_around(store)?;
    }
    let local = 0_u8;
    let here = &raw const local as usize;
    let kind = if store.depth == 0 {
        if !store.stack.serves(here, thread::own_stack().start) {
            set_limit(store, here);
        }
        CallKind::Wasm
    } else if store.stack.is_on(here) {
        CallKind::Wasm // The limit is that of the call around this one, and counts from there.
    } else {
        let around = Box::new(store.stack.clone());
        set_limit(store, here);
        CallKind::WasmOnAnotherStack(around)
    };
    if here > store.stack.limit {
        return Ok(kind);
    }
    finish(store, kind);
    Err(Error::new(Trap::StackOverflow))
}

/// Undoes [`prepare`], so that Wasm can go on in the call around this one.
#[inline]
fn finish(store: &mut StoreInner, kind: CallKind) {
    if let CallKind::WasmOnAnotherStack(around) = kind {
        store.set_stack_limit(*around);
    }
}

/// Makes sure that minirt's handler gets faults. If it cannot, makes sure that valid writes do not
/// fault.
#[cold]
fn look_around(store: &mut StoreInner) -> Result<()> {
    let found = thread::look().context("could not set up this thread's signal stack")?;
    if found == Err(signal::Displaced) {
        for instance in &mut store.instances {
            // SAFETY: the instance is alive, and none of its code is running on this stack or
            // another.
            let slot = unsafe { &mut instance.as_mut().slot };
            slot.make_all_writable().context("could not make an instance's memory writable")?;
        }
    }
    Ok(())
}

/// Chooses the limit for the stack that `here` is on. Every new store needs this once.
fn set_limit(store: &mut StoreInner, here: usize) {
    let (own, most) = (thread::own_stack(), store.engine.max_wasm_stack());
    let thread = own.start;
    if store.announced_stack.contains(&here) {
        let stack = store.announced_stack.clone();
        store.set_stack_limit(StackLimit::new(here, most, stack, thread));
    } else if own.contains(&here) {
        store.set_stack_limit(StackLimit::new(here, most, own, thread));
    } else {
        set_limit_on_unknown_stack(store, here, most);
    }
}

/// Asks the system where the stack ends. That is known for one call only: another stack may be
/// there at the next one.
#[cold]
fn set_limit_on_unknown_stack(store: &mut StoreInner, here: usize, most: usize) {
    let stack = stack::around(here, StackLimit::lowest_wanted(here, most));
    if !store.stack.serves_on(here, &stack) {
        store.set_stack_limit(StackLimit::new(here, most, stack, 0));
    }
}

/// Runs `enter` in an activation of its own, and returns how it ended.
///
/// # Safety
/// `enter` must return 1 only after a trap or a failure was recorded.
unsafe fn run(store: &mut StoreInner, kind: CallKind, enter: impl FnOnce(*mut Activation) -> u32) -> Result<()> {
    let (around, depth) = (store.activation, store.depth);
    store.depth += u32::from(!matches!(kind, CallKind::Host));
    // The store is lent to the call: host functions find it by this address.
    let store: *mut StoreInner = store;
    store.expose_provenance();
    let mut activation = Activation::new(store.cast(), around);
    // SAFETY: `store` was an exclusive reference. From here on it is used through its address
    // alone: by host functions and the signal handler, which have all returned when `enter` does.
    unsafe {
        (*store).activation = &raw mut activation;
        let failed = enter(&raw mut activation) != 0;
        let store = &mut *store;
        (store.activation, store.depth) = (around, depth);
        finish(store, kind);
        if failed { Err(failure(store, &activation)) } else { Ok(()) }
    }
}

#[cold]
#[inline(never)]
fn failure(store: &mut StoreInner, activation: &Activation) -> Error {
    let error = match (activation.trap, store.failure.take()) {
        (_, Some(Failure::Panic(payload))) => std::panic::resume_unwind(payload),
        (_, Some(Failure::Error(error))) => error,
        (Some(trap), None) => match TrapDetails::with(TrapDetails::fault) {
            Some(fault) => Error::new(trap).context(fault),
            None => Error::new(trap),
        },
        (None, None) => unreachable!("a call failed without a reason"),
    };
    if error.downcast_ref::<WasmBacktrace>().is_some() {
        return error; // A call further in has described the whole stack already.
    }
    let Some(most) = store.engine.backtrace_frames() else { return error };
    // SAFETY: the activations around this one are those of the callers of this function.
    let backtrace = unsafe { WasmBacktrace::at_failure(store, activation, most.get()) };
    if backtrace.frames().is_empty() { error } else { error.context(backtrace) }
}

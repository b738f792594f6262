//! Entering Wasm, and coming back with results or with the reason why there are none.

use super::activation::{self, Activation};
use super::backtrace::WasmBacktrace;
use crate::store::{Failure, StackLimit, StoreInner};
use crate::sys::stack::prepare_thread;
use crate::vmctx::{FuncRecord, HostContext, Raw};
use anyhow::{Context, Error, Result};
use minirt_compiler::Trap;
use std::ptr::NonNull;

/// What every thread keeps free at the end of its stack for host functions and the signal handler's previous
/// owner, whatever `Config::max_wasm_stack` says.
const HOST_ROOM: usize = 128 * 1024;

/// Stack limits are rounded to this, so that calls from about the same depth have the same limit, and the
/// instances need not be told a new one.
const LIMIT_STEP: usize = 64 * 1024;

/// Host to Wasm, made by the compiler for each type: `(vmctx, code, values, activation)`. Returns 0, or 1
/// after a trap.
type Entry = unsafe extern "C" fn(*mut u8, *const u8, *mut Raw, *mut Activation) -> u32;

/// Calls a function. `values` holds the arguments, and afterwards the results.
///
/// # Errors
/// The trap with its backtrace, or what a host function failed with.
///
/// # Panics
/// When a host function panicked, with its panic.
///
/// # Safety
/// The record must be of a function in this store, and `values` have room for as many values as it has
/// parameters or results, with arguments of its types.
pub(crate) unsafe fn call(store: &mut StoreInner, record: NonNull<FuncRecord>, values: *mut Raw) -> Result<()> {
    // SAFETY: records live as long as their store.
    let FuncRecord { code, callee, entry, .. } = *unsafe { record.as_ref() };
    let callee = FuncRecord::callee(record, callee);
    let Some(entry) = NonNull::new(entry.cast_mut()) else {
        // SAFETY: a record without an entry is a host function's, and its callee the host context.
        return unsafe { run(store, Stay::InHost, |_| call_host(callee.cast(), values)) };
    };
    let stay = enter_limit(store)?;
    store.touched = true;
    // SAFETY: the entry trampoline was compiled for the function's type, and the rest is the caller's promise.
    unsafe {
        let entry = std::mem::transmute::<*mut u8, Entry>(entry.as_ptr());
        run(store, stay, |activation| entry(callee, code, values, activation))
    }
}

unsafe fn call_host(context: *const HostContext, values: *mut Raw) -> u32 {
    // SAFETY: contexts live as long as their store, and know the function that fits their closure.
    unsafe { ((*context).call)(context, values, std::ptr::null()) }
}

/// What a call is, seen from its store.
enum Stay {
    /// A host function that the host calls.
    InHost,
    /// A stay in Wasm.
    InWasm,
    /// A stay in Wasm on another thread than the one around it, whose stack has this limit.
    OnAnotherThread(StackLimit),
}

/// Makes sure that this thread can run Wasm, and that Wasm stops before the stack does.
fn enter_limit(store: &mut StoreInner) -> Result<Stay> {
    let thread = prepare_thread().context("could not set up this thread's signal stack")?;
    let here = &raw const thread as usize;
    let stay = if store.depth > 0 && store.stack.thread != thread { on_another_thread(store) } else { Stay::InWasm };
    if store.depth == 0 || !matches!(stay, Stay::InWasm) {
        let wanted = here.saturating_sub(store.engine.max_wasm_stack()) & !(LIMIT_STEP - 1);
        // On a stack that is not the thread's own (a fiber), only the configured size counts.
        let own = here > thread;
        let limit = if own { wanted.max(thread + HOST_ROOM) } else { wanted };
        store.set_stack_limit(StackLimit { limit, thread });
    }
    if here > store.stack.limit {
        return Ok(stay);
    }
    leave_limit(store, &stay);
    Err(Error::new(Trap::StackOverflow))
}

#[cold]
fn on_another_thread(store: &StoreInner) -> Stay {
    Stay::OnAnotherThread(store.stack)
}

/// The inverse of [`enter_limit`]: Wasm goes on in the stay around this one.
#[inline]
fn leave_limit(store: &mut StoreInner, stay: &Stay) {
    if let Stay::OnAnotherThread(around) = stay {
        store.set_stack_limit(*around);
    }
}

/// Runs `enter` in an activation of its own, and says how it ended.
///
/// # Safety
/// `enter` must return 1 only after a trap or a failure was recorded.
unsafe fn run(store: &mut StoreInner, stay: Stay, enter: impl FnOnce(*mut Activation) -> u32) -> Result<()> {
    let stays = u32::from(!matches!(stay, Stay::InHost));
    store.depth += stays;
    let store: *mut StoreInner = store;
    let mut activation = Activation::new(store.cast());
    let failed = {
        let _guard = activation::begin(&mut activation);
        enter(&raw mut activation) != 0
    };
    // SAFETY: `store` was an exclusive reference. Since then it was used through this pointer alone: by host
    // functions, which find it in the activation, and which have all returned.
    let store = unsafe { &mut *store };
    store.depth -= stays;
    leave_limit(store, &stay);
    if failed { Err(failure(store, &activation)) } else { Ok(()) }
}

#[cold]
fn failure(store: &mut StoreInner, activation: &Activation) -> Error {
    let error = match (activation.trap, store.failure.take()) {
        (_, Some(Failure::Panic(payload))) => std::panic::resume_unwind(payload),
        (_, Some(Failure::Error(error))) => error,
        (Some(trap), None) => Error::new(trap),
        (None, None) => unreachable!("a call failed without a reason"),
    };
    if error.downcast_ref::<WasmBacktrace>().is_some() {
        return error; // A call further in has described the whole stack already.
    }
    // SAFETY: the activations around this one are those of our callers.
    let backtrace = unsafe { WasmBacktrace::at_failure(store, activation) };
    if backtrace.frames().is_empty() { error } else { error.context(backtrace) }
}

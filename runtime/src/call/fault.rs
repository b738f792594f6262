//! From a processor fault to a Wasm trap.
//!
//! Compiled code checks little: it lets the processor stop at an instruction that the compiler has listed.
//! This is the decision whether a fault is such a stop. It runs in a signal handler, so it reads
//! plain memory only: it takes no lock and allocates nothing.
//!
//! A write by compiled code to a page that a watched slot has read-only is no trap: the slot admits it, and the
//! instruction runs again.
//!
//! A fault is a trap if, and only if: this thread is in Wasm; the instruction is in code that is loaded, and listed in its
//! trap table; and, where an address was involved, it lies in a slot of the store that is running, or in the first page
//! of all, where nothing is ever mapped and null references point to, and the trap is the one for calling those. Anything
//! else is a bug of the host (or ours) and goes to the handler that was there before.

use super::activation::{Activation, Frames, current};
use super::backtrace::walk;
use crate::code::registry::{is_loaded, trap_at};
use crate::store::StoreInner;
use crate::sys::mapping::PAGE;
use crate::sys::signal::{self, Fault, Resume};
use minirt_compiler::Trap;

/// Makes traps work in this process. Called before Wasm is entered for the first time.
pub(crate) fn install() {
    signal::install(classify);
}

fn classify(fault: &Fault) -> Option<Resume> {
    // SAFETY: the current activation is on this thread's stack, below the interrupted Wasm frames, and nothing
    // else uses it while they run.
    let activation = unsafe { current().as_mut() }?;
    if !is_loaded(fault.pc) {
        return None; // Host code, called by Wasm. What it writes to, it prepares.
    }
    // SAFETY: the activation's store outlives it. Wasm code was interrupted, so no Rust code is at work on
    // the store on this thread, and no other thread has access to it.
    let store = unsafe { &*activation.store.cast::<StoreInner>() };
    let null = |address: &usize| *address < PAGE && trap_at(fault.pc) == Some(Trap::NullFunctionReference);
    if let Some(address) = fault.address.filter(|address| !null(address)) {
        let mut instance = store.at_address(address)?;
        // SAFETY: the instance is alive, and as above nobody is at work on it: what compiled code writes is not part
        // of its description, and host code prepares a slot before it writes.
        if unsafe { instance.as_mut() }.slot.handle_write_fault(address) {
            return Some(Resume::Retry);
        }
    }
    let trap = trap_at(fault.pc)?;
    activation.trap = Some(trap);
    record_frames(activation, fault);
    Some(Resume::At { pc: activation.handler, stack: activation.stack, frame: activation.frame })
}

fn record_frames(activation: &Activation, fault: &Fault) {
    Frames::with(|frames| {
        frames.clear();
        frames.push(fault.pc);
        // SAFETY: the trap table lists instructions inside function bodies and after prologues, or in a prologue after
        // the frame is set up, so the frame pointer is the interrupted function's own.
        unsafe { walk(fault.frame as *const usize, activation.frame, |address| frames.push(address)) }
    });
}

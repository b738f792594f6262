//! Decides whether a processor fault is a Wasm trap.
//!
//! Compiled code checks little: it lets the processor stop at an instruction that the compiler has
//! listed. [`classify`] decides whether a fault is such a stop. It runs in a signal handler, so it
//! reads plain memory only: it takes no lock and allocates nothing.
//!
//! A write by compiled code to a page that a tracked slot has write-protected is no trap: the slot
//! makes the page writable, and the instruction runs again.
//!
//! A fault is a trap if, and only if:
//!
//! - the instruction is in code that is loaded, and listed in its trap table; and
//! - the address, if there was one, lies in a slot of the store that is running. Or it lies in the
//!   first page of all, and the trap is that of calling null: nothing is ever mapped there, and
//!   null references point there.
//!
//! Anything else is a bug of the host or of minirt, and goes to the handler that was there before.
//!
//! To find the store that is running, the frames lead from the instruction to the trampoline that
//! entered the code, and that has its activation. So it does not matter which of a thread's stacks
//! this is. Frames are read only if the instruction is compiled code's, which has set them up.

use super::frames::{MemoryFault, TrapDetails, callers};
use crate::code::registry::{self, Reader, Text};
use crate::pool::InstanceData;
use crate::store::{Activation, StoreInner};
use crate::sys::arch::{self, Position};
use crate::sys::signal::{self, Fault, Resume};
use minirt_compiler::Trap;
use minirt_compiler::instance::layout::{MEMORY, MemoryPlace, PAGE_MIN};

/// Makes traps work in this process. Called before Wasm is entered for the first time.
///
/// # Errors
/// Returns an error if the system lets no handler be installed.
#[inline]
pub(crate) fn install() -> rustix::io::Result<()> {
    signal::install(classify)
}

/// Where an access that failed went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touched {
    /// There was no access: the instruction itself failed.
    Nothing,
    /// The first page of all.
    FirstPage,
    /// A slot of the store that is running.
    Slot,
    /// An address that compiled code never accesses.
    Elsewhere,
}

/// The meaning of a fault of compiled code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Trap(Trap),
    /// A write to a page that is write-protected, or else a trap if there is one.
    WriteOr(Option<Trap>),
    /// A bug: no guest can bring this about.
    Bug,
}

/// Decides what a fault means. `listed` is what the trap table has for the instruction.
fn decide(listed: Option<Trap>, touched: Touched) -> Meaning {
    match (touched, listed) {
        (Touched::Slot, listed) => Meaning::WriteOr(listed),
        (Touched::Nothing, Some(trap)) => Meaning::Trap(trap),
        (Touched::FirstPage, Some(trap @ Trap::NullFunctionReference)) => Meaning::Trap(trap),
        (Touched::Nothing | Touched::FirstPage, _) | (Touched::Elsewhere, _) => Meaning::Bug,
    }
}

fn classify(fault: &Fault) -> Option<Resume> {
    registry::read(|code| classify_in(code, fault))
}

fn classify_in(code: &Reader<'_>, fault: &Fault) -> Option<Resume> {
    // Host code, called by Wasm or not. It makes pages writable before it writes to them.
    let text = code.at(fault.pc)?;
    let listed = text.trap_at(fault.pc);
    if listed.is_none() && !text.is_body(fault.pc) {
        return None; // A trampoline, perhaps before it has set up its frame.
    }
    // SAFETY: the instruction is in the body of a function, or listed in a trampoline's: after the
    // prologue, or in a prologue where the frame pointer is still the caller's. Either way it is
    // one of compiled code's.
    let activation = unsafe { activation_of(code, fault.frame)?.as_mut()? };
    // SAFETY: the activation's store outlives it. Wasm code of the store was interrupted, so no
    // Rust code is at work on it, and no other thread has access to it.
    let store = unsafe { &*activation.store.cast::<StoreInner>() };
    let slot = fault.address.and_then(|address| store.at_address(address));
    let touched = match fault.address {
        None => Touched::Nothing,
        Some(_) if slot.is_some() => Touched::Slot,
        Some(address) if (address as u64) < PAGE_MIN => Touched::FirstPage,
        Some(_) => Touched::Elsewhere,
    };
    let trap = match decide(listed, touched) {
        Meaning::Bug => return None,
        Meaning::Trap(trap) => trap,
        Meaning::WriteOr(trap) => {
            // SAFETY: the instance is alive, and as above nobody is at work on it: what compiled
            // code writes is not part of its description, and host code prepares a slot before it
            // writes.
            let slot = unsafe { &mut slot?.as_mut().slot };
            if slot.handle_write_fault(fault.address?, fault.pc) {
                return Some(Resume::Retry);
            }
            trap?
        }
    };
    activation.trap = Some(trap);
    // SAFETY: as above; the walk ends at the trampoline.
    let callers = unsafe { callers(fault.frame) }.take_while(|caller| caller.frame != activation.frame);
    let addresses = std::iter::once(fault.pc).chain(callers.map(|caller| caller.return_address));
    let found = slot.filter(|_| trap == Trap::MemoryOutOfBounds);
    // SAFETY: as above.
    let fault = found.zip(fault.address).and_then(|(owner, address)| memory_fault(unsafe { owner.as_ref() }, address));
    TrapDetails::with(|details| details.set(addresses, fault));
    Some(Resume::At(Position { pc: activation.handler, stack: activation.stack, frame: activation.frame }))
}

/// Returns where in its memory an instance's code could not access it: after its end, or in the
/// slot's guards.
fn memory_fault(owner: &InstanceData, address: usize) -> Option<MemoryFault> {
    let view = owner.view();
    let index = view.module.num_imported_memories;
    let MemoryPlace::Slot { size } = (index < view.module.memories.len() as u32).then(|| view.layout.memory(index))?
    else {
        return None;
    };
    let base = view.vmctx.at::<u8>(MEMORY) as usize;
    let wasm_address = address.checked_sub(base)? as u64;
    // SAFETY: the instance is alive, and the size is part of its state.
    let memory_size = unsafe { *view.vmctx.at::<u64>(size) };
    Some(MemoryFault { wasm_address, memory_size })
}

/// Returns the activation of the call that has entered the code with this frame: the entry
/// trampoline, which is the first caller that is not the body of a function, has it as its
/// argument. `None` if frames lead to anything else.
///
/// # Safety
/// The frame must be that of a function of compiled code that is active, or of a trampoline that it
/// has called.
unsafe fn activation_of(code: &Reader<'_>, frame: usize) -> Option<*mut Activation> {
    let mut text: Option<Text<'_>> = None;
    // SAFETY: the caller's promise. The walk goes on only from bodies of functions, all of which
    // were called by compiled code, and stops at the trampoline.
    for caller in unsafe { callers(frame) } {
        let address = caller.return_address - 1;
        // Callers are mostly of the same module.
        if !text.as_ref().is_some_and(|text| text.contains(address)) {
            text = Some(code.at(address)?);
        }
        if text.as_ref().is_some_and(|text| !text.is_body(address)) {
            // SAFETY: it is an entry trampoline: exit trampolines call the host, and are not called
            // from there. Its caller has left the activation where a trampoline finds it.
            return unsafe {
                let activation = arch::frame(caller.frame).argument as *mut Activation;
                ((*activation).frame == caller.frame).then_some(activation)
            };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Option<Trap>; 4] =
        [None, Some(Trap::MemoryOutOfBounds), Some(Trap::NullFunctionReference), Some(Trap::UnreachableCodeReached)];

    #[test]
    fn an_access_outside_the_running_stores_slots_is_never_a_trap() {
        assert!(ALL.iter().all(|listed| decide(*listed, Touched::Elsewhere) == Meaning::Bug));
    }

    #[test]
    fn the_first_page_is_where_null_functions_are_and_nothing_else() {
        for listed in ALL {
            let expected = match listed {
                Some(trap @ Trap::NullFunctionReference) => Meaning::Trap(trap),
                _ => Meaning::Bug,
            };
            assert_eq!(decide(listed, Touched::FirstPage), expected);
        }
    }

    #[test]
    fn an_access_to_a_slot_is_a_write_to_a_protected_page_or_the_trap_that_is_listed() {
        assert!(ALL.iter().all(|listed| decide(*listed, Touched::Slot) == Meaning::WriteOr(*listed)));
    }

    #[test]
    fn an_instruction_that_fails_by_itself_has_to_be_listed() {
        for listed in ALL {
            assert_eq!(decide(listed, Touched::Nothing), listed.map_or(Meaning::Bug, Meaning::Trap));
        }
    }

    #[test]
    fn a_fault_of_host_code_is_none_of_compiled_codes() {
        let fault = Fault { pc: classify as *const () as usize, frame: 8, address: Some(0) };
        assert_eq!(classify(&fault), None);
        assert_eq!(classify(&Fault { address: None, pc: 0, ..fault }), None);
    }
}

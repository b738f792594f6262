//! Walks the frames of compiled code, from the inside out, up to the trampoline that entered it.
//!
//! Every function keeps a frame pointer, and a frame begins with its caller's. So whoever knows one
//! frame can go from function to function. Compiled code ends at an entry trampoline, whose caller
//! is the host: there the walk has to stop.

use crate::sys::arch;
use std::cell::Cell;
use std::fmt;

/// An active function that has called another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The address where it goes on. This may already belong to the next instruction, or even to
    /// the next function; the byte before does not.
    pub(crate) return_address: usize,
    /// Its frame pointer.
    pub(crate) frame: usize,
}

/// Returns the callers of the function with this frame, the innermost first.
///
/// # Safety
/// The frame must be that of a function that keeps frame pointers, as all of compiled code does,
/// and is active. The same must be true of every caller from which another one is asked for: an
/// entry trampoline is the last one.
pub(crate) unsafe fn callers(frame: usize) -> impl Iterator<Item = Caller> {
    let mut frame = frame;
    std::iter::from_fn(move || {
        // SAFETY: the caller's promise.
        let arch::Frame { outer, return_address, .. } = unsafe { arch::frame(frame) };
        // Stacks grow downwards. Anything else is no chain of frames, and would never end.
        (outer > frame).then(|| {
            frame = outer;
            Caller { return_address, frame }
        })
    })
}

/// Frames of the stack that are kept at a trap, innermost first.
const MAX_FRAMES: usize = 256;

/// The record of this thread's last trap.
///
/// It is not in the activation, which is made for every call. It is read right after the trap, on
/// the same thread.
pub(crate) struct TrapDetails {
    len: Cell<usize>,
    /// Code addresses: the faulting instruction, then return addresses.
    addresses: [Cell<usize>; MAX_FRAMES],
    /// Where in a memory it was, if that is known.
    fault: Cell<Option<MemoryFault>>,
}

/// Where an access of a linear memory went, if it was out of bounds and the processor found out.
/// The error of the call downcasts to it, and to
/// [`Trap::MemoryOutOfBounds`](crate::Trap::MemoryOutOfBounds).
///
/// Not every such error has one. Code checks the bounds of bulk operations, of memories with pages
/// of one byte, and of accesses with large constant offsets or 64-bit addresses itself, and keeps
/// no address.
///
/// # Examples
/// ```
/// # use minirt::{Engine, Instance, MemoryFault, Module, Store, Trap};
/// # let engine = Engine::default();
/// let text = r#"(module (memory 1) (func (export "load") (param i32) (drop (i32.load8_u (local.get 0)))))"#;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &Module::new(&engine, text)?, &[])?;
/// let load = instance.get_typed_func::<i32, ()>(&store, "load")?;
/// let error = load.call(&mut store, 0x12345).unwrap_err();
/// assert_eq!(error.downcast_ref(), Some(&MemoryFault { wasm_address: 0x12345, memory_size: 0x10000 }));
/// assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
/// # Ok::<(), minirt::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryFault {
    /// The address in the memory that could not be accessed. Of an access that begins inside, it is
    /// the first byte outside.
    pub wasm_address: u64,
    /// How many bytes the memory had.
    pub memory_size: u64,
}

impl fmt::Display for MemoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wasm_address, memory_size } = self;
        write!(f, "memory fault at wasm address {wasm_address:#x} in linear memory of size {memory_size:#x}")
    }
}

thread_local! {
    static TRAP_DETAILS: TrapDetails = const {
        let addresses = [const { Cell::new(0) }; MAX_FRAMES];
        TrapDetails { len: Cell::new(0), addresses, fault: Cell::new(None) }
    };
}

impl TrapDetails {
    /// Calls `f` with this thread's record. Safe to call in a signal handler: there is nothing to
    /// initialise or to drop.
    #[inline(never)]
    pub(crate) fn with<R>(f: impl FnOnce(&Self) -> R) -> R {
        TRAP_DETAILS.with(f)
    }

    /// Replaces the addresses by others, as many as there is room for.
    pub(crate) fn set(&self, addresses: impl Iterator<Item = usize>, fault: Option<MemoryFault>) {
        let stored = self.addresses.iter().zip(addresses).map(|(place, address)| place.set(address));
        self.len.set(stored.count());
        self.fault.set(fault);
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = usize> + '_ {
        self.addresses.iter().take(self.len.get()).map(Cell::get)
    }

    pub(crate) fn fault(&self) -> Option<MemoryFault> {
        self.fault.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames as they stand on a stack: the outer frame's place, a return address, and some room.
    fn stack(outer: impl Fn(usize) -> usize) -> (Box<[[usize; 4]; 4]>, usize) {
        let mut frames = Box::new([[0; 4]; 4]);
        let base = frames.as_ptr() as usize;
        for (depth, frame) in frames.iter_mut().enumerate() {
            *frame = [outer(base + 32 * depth), 1000 + depth, 0, 0];
        }
        (frames, base)
    }

    #[test]
    fn callers_are_found_from_the_inside_out() {
        let (_frames, base) = stack(|frame| frame + 32);
        // SAFETY: there are four frames.
        let found: Vec<Caller> = unsafe { callers(base) }.take(4).collect();
        let expected = |depth: usize| Caller { return_address: 1000 + depth, frame: base + 32 * (depth + 1) };
        assert_eq!(found, [0, 1, 2, 3].map(expected));
    }

    #[test]
    fn a_chain_that_does_not_lead_outwards_ends() {
        for back in [0, 1, 32] {
            let (_frames, base) = stack(|frame| frame - back);
            // SAFETY: the first frame is one, and there is no other.
            assert_eq!(unsafe { callers(base) }.count(), 0);
        }
    }

    #[test]
    fn only_so_many_addresses_are_kept() {
        TrapDetails::with(|details| {
            details.set(0..1_000_000, None);
            assert!(details.frames().eq(0..MAX_FRAMES));
            let fault = Some(MemoryFault { wasm_address: 1, memory_size: 2 });
            details.set([7].into_iter(), fault);
            assert!(details.frames().eq([7]) && details.fault() == fault);
        });
    }
}

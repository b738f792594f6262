//! Frames of compiled code: from the inside out, up to the trampoline that entered it.
//!
//! Every function keeps a frame pointer, and a frame begins with its caller's. So whoever knows one frame can go from
//! function to function. Compiled code ends at an entry trampoline, whose caller is the host: there the walk has to stop.

use crate::sys::arch;
use std::cell::Cell;

/// A function that has called another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Where it goes on. This may already belong to the next instruction, or even to the next function; the byte before
    /// does not.
    pub(crate) return_address: usize,
    /// Its frame pointer.
    pub(crate) frame: usize,
}

/// Returns the callers of the function with this frame, the innermost first.
///
/// # Safety
/// The frame must be that of a function that keeps frame pointers, as all of compiled code does, and is active. The same
/// must be true of every caller from which another one is asked for: an entry trampoline is the last one.
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
const MAX_FRAMES: usize = 64;

/// Code addresses of the stack at this thread's last trap: the faulting instruction, then return addresses.
///
/// They are not in the activation, which is made for every call. They are read right after the trap, on the same thread.
pub(crate) struct TrapFrames {
    len: Cell<usize>,
    addresses: [Cell<usize>; MAX_FRAMES],
}

thread_local! {
    static TRAP_FRAMES: TrapFrames =
        const { TrapFrames { len: Cell::new(0), addresses: [const { Cell::new(0) }; MAX_FRAMES] } };
}

impl TrapFrames {
    /// Calls `f` with this thread's. Safe to call in a signal handler: there is nothing to initialise or to drop.
    #[inline(never)]
    pub(crate) fn with<R>(f: impl FnOnce(&Self) -> R) -> R {
        TRAP_FRAMES.with(f)
    }

    /// Replaces the addresses by others, as many as there is room for.
    pub(crate) fn set(&self, addresses: impl Iterator<Item = usize>) {
        let stored = self.addresses.iter().zip(addresses).map(|(place, address)| place.set(address));
        self.len.set(stored.count());
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.addresses.iter().take(self.len.get()).map(Cell::get)
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
        TrapFrames::with(|frames| {
            frames.set(0..1_000_000);
            assert!(frames.iter().eq(0..MAX_FRAMES));
            frames.set([7].into_iter());
            assert!(frames.iter().eq([7]));
        });
    }
}

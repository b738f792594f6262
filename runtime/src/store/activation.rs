//! Describes one call from the host while it lasts.
//!
//! Activations live on the host's stack. Those of a store form a list, the innermost first: Wasm
//! may call the host, which may call Wasm of the same store again. A store is borrowed by one call
//! at a time, so its calls end in the order opposite to that in which they began, whichever stacks
//! and threads they are on. Nothing of the kind is true of a thread's calls: there may be several
//! stacks on it, which take turns.
//!
//! The signal handler finds an activation by the frame of its entry trampoline, and needs all that
//! is in here. So it is plain memory that exists before Wasm is entered.

use crate::sys::thread::{self, Mark};
use minirt_compiler::Trap;
use minirt_compiler::instance::layout::activation;
use std::mem::offset_of;

/// One call. The first three fields are the entry trampoline's (`layout::activation`).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Activation {
    /// Frame pointer of the entry trampoline. 0 where there is none: the host has called a host
    /// function.
    pub(crate) frame: usize,
    /// Its stack pointer.
    pub(crate) stack: usize,
    /// Where it goes on after a trap.
    pub(crate) handler: usize,
    /// The store that the call works in; a `StoreInner`.
    pub(crate) store: *mut (),
    /// The activation around this one in the same store, or null.
    pub(crate) previous: *const Activation,
    /// While the host has been called: the exit trampoline's frame. Otherwise 0.
    pub(crate) exit_frame: usize,
    /// The thread that code was entered on, or came back to from the host. It can handle faults.
    thread: Mark,
    /// Why Wasm stopped, once it has.
    pub(crate) trap: Option<Trap>,
}

const _: () = {
    assert!(offset_of!(Activation, frame) == activation::FRAME as usize);
    assert!(offset_of!(Activation, stack) == activation::STACK as usize);
    assert!(offset_of!(Activation, handler) == activation::HANDLER as usize);
};

impl Activation {
    #[inline]
    pub(crate) fn new(store: *mut (), previous: *const Self) -> Self {
        Self {
            frame: 0,
            stack: 0,
            handler: 0,
            store,
            previous,
            exit_frame: 0,
            thread: Mark::of_this_thread(),
            trap: None,
        }
    }

    /// Notes that Wasm has called the host, through an exit trampoline with this frame.
    #[inline]
    pub(crate) fn leave_wasm(&mut self, exit_frame: *const usize) {
        self.exit_frame = exit_frame as usize;
    }

    /// Notes that the host goes back to Wasm. What it has run may have moved this stack to another
    /// thread.
    #[inline]
    pub(crate) fn back_to_wasm(&mut self) {
        self.exit_frame = 0;
        let thread = Mark::of_this_thread();
        if thread != self.thread {
            self.thread = thread;
            thread::arrive();
        }
    }
}

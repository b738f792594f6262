//! One stay in Wasm: from the host's call until it comes back.
//!
//! Activations live on the host's stack and form a list per thread, the innermost first: Wasm may call the
//! host, which may call Wasm again. The signal handler starts from here, so everything it needs is plain
//! memory that exists before Wasm is entered.

use minirt_compiler::Trap;
use minirt_compiler::instance::layout::activation;
use std::cell::Cell;
use std::mem::offset_of;

/// Frames that are kept of the stack at a trap, innermost first.
const MAX_FRAMES: usize = 64;

/// What is known about one stay in Wasm. The first three fields are the entry trampoline's (`layout::activation`).
#[repr(C)]
pub(crate) struct Activation {
    /// Frame pointer of the entry trampoline.
    pub(crate) frame: usize,
    /// Its stack pointer.
    pub(crate) stack: usize,
    /// Where it goes on after a trap.
    pub(crate) handler: usize,
    /// The store that this thread works in; a `StoreInner`.
    pub(crate) store: *mut (),
    /// The activation around this one, in whatever store.
    pub(crate) previous: *mut Activation,
    /// While the host has been called: the exit trampoline's frame.
    pub(crate) exit_frame: *const usize,
    /// Why Wasm stopped, once it has. [`Frames`] then says where.
    pub(crate) trap: Option<Trap>,
}

const _: () = {
    assert!(offset_of!(Activation, frame) == activation::FRAME as usize);
    assert!(offset_of!(Activation, stack) == activation::STACK as usize);
    assert!(offset_of!(Activation, handler) == activation::HANDLER as usize);
};

/// Code addresses of the stack at this thread's last trap: the faulting instruction, then return addresses.
///
/// They are not in the activation, which is made for every call, because they are read right after the trap.
pub(crate) struct Frames {
    len: Cell<usize>,
    addresses: [Cell<usize>; MAX_FRAMES],
}

thread_local! {
    static CURRENT: Cell<*mut Activation> = const { Cell::new(std::ptr::null_mut()) };
    static FRAMES: Frames = const { Frames { len: Cell::new(0), addresses: [const { Cell::new(0) }; MAX_FRAMES] } };
}

impl Activation {
    #[inline]
    pub(crate) fn new(store: *mut ()) -> Self {
        Self { frame: 0, stack: 0, handler: 0, store, previous: current(), exit_frame: std::ptr::null(), trap: None }
    }
}

impl Frames {
    /// This thread's. Safe to call in a signal handler: there is nothing to initialise.
    pub(crate) fn with<R>(f: impl FnOnce(&Self) -> R) -> R {
        FRAMES.with(f)
    }

    pub(crate) fn clear(&self) {
        self.len.set(0);
    }

    /// Whether there was room.
    pub(crate) fn push(&self, address: usize) -> bool {
        let Some(place) = self.addresses.get(self.len.get()) else { return false };
        place.set(address);
        self.len.set(self.len.get() + 1);
        true
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.addresses.iter().take(self.len.get()).map(Cell::get)
    }
}

/// This thread's innermost activation; null outside Wasm.
#[inline]
pub(crate) fn current() -> *mut Activation {
    CURRENT.get()
}

/// Makes `activation` the innermost one until the guard is dropped.
#[inline]
pub(crate) fn begin(activation: &mut Activation) -> Guard {
    Guard { previous: CURRENT.replace(activation) }
}

/// Ends an activation, also when a panic passes by.
pub(crate) struct Guard {
    previous: *mut Activation,
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.previous);
    }
}

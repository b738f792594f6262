//! Where this thread's stack ends, and the alternate stack on which its signals are handled.
//!
//! Both are found out once per thread, when it first enters Wasm.

use super::mapping::{Access, PAGE, Reservation};
use rustix::io::{Errno, Result};
use std::cell::{Cell, OnceCell};

/// Room for the handler: the kernel's saved registers (up to some 11 KiB with AMX), our frames, and a
/// previous handler that we may call.
const SIGNAL_STACK: usize = 64 * 1024;

thread_local! {
    static LOWEST: Cell<usize> = const { Cell::new(0) };
    static SIGNALS: OnceCell<SignalStack> = const { OnceCell::new() };
}

/// The lowest address of this thread's stack, after making sure that the thread can handle signals.
///
/// # Errors
/// When the kernel gives no memory for the alternate stack.
#[inline]
pub(crate) fn prepare_thread() -> Result<usize> {
    match LOWEST.get() {
        0 => prepare_first_time(),
        lowest => Ok(lowest),
    }
}

#[cold]
fn prepare_first_time() -> Result<usize> {
    SIGNALS.with(|cell| {
        if cell.get().is_none() {
            let _ = cell.set(SignalStack::install()?);
        }
        let lowest = lowest_of_thread().max(1);
        LOWEST.set(lowest);
        Ok(lowest)
    })
}

fn lowest_of_thread() -> usize {
    let mut start = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the attribute object is initialised by pthread_getattr_np, read only if that succeeded, and
    // destroyed once. pthread_self is this thread, which is alive.
    unsafe {
        let mut attributes = std::mem::zeroed::<libc::pthread_attr_t>();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) == 0 {
            libc::pthread_attr_getstack(&attributes, &mut start, &mut size);
            libc::pthread_attr_destroy(&mut attributes);
        }
    }
    start as usize
}

/// An alternate signal stack with an inaccessible page below it, ours until the thread ends.
struct SignalStack {
    space: Reservation,
}

impl SignalStack {
    fn install() -> Result<Self> {
        let space = Reservation::new(PAGE + SIGNAL_STACK)?;
        let stack = libc::stack_t { ss_sp: space.at(PAGE).cast(), ss_flags: 0, ss_size: SIGNAL_STACK };
        // SAFETY: the memory is fresh, so nothing refers to it; it is handed to the kernel for this thread and
        // stays mapped until `drop` has taken it back.
        unsafe {
            space.map_zeros(PAGE..PAGE + SIGNAL_STACK, Access::ReadWrite)?;
            if libc::sigaltstack(&stack, std::ptr::null_mut()) != 0 {
                return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOMEM));
            }
        }
        Ok(Self { space })
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        LOWEST.set(0);
        // SAFETY: both calls only read and write the structures given. The stack is disabled only while it is
        // still the one in use; the memory goes away after that.
        unsafe {
            let mut current = std::mem::zeroed::<libc::stack_t>();
            let known = libc::sigaltstack(std::ptr::null(), &mut current) == 0;
            if known && current.ss_sp == self.space.at(PAGE).cast() {
                current.ss_flags = libc::SS_DISABLE;
                libc::sigaltstack(&current, std::ptr::null_mut());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_lowest_address_lies_below_a_local_variable() {
        let local = 0u8;
        let lowest = super::prepare_thread().unwrap();
        assert!(lowest < &raw const local as usize);
        assert!(&raw const local as usize - lowest < 1 << 30);
    }

    #[test]
    fn threads_come_and_go_without_leaving_mappings() {
        let count = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        let run = || std::thread::spawn(|| super::prepare_thread().unwrap()).join().unwrap();
        run();
        let before = count();
        for _ in 0..100 {
            run();
        }
        assert!(count() < before + 50, "{before} mappings became {}", count());
    }
}

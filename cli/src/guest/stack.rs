//! Provides a stack that is large enough for a command.
//!
//! The stack of a process's first thread is as large as the shell allows (`ulimit -s`), which can
//! be less than minirt needs to compile, or than the user gives the guest with `-W max-wasm-stack`.

use crate::output::report::Report;
use rlimit::Resource;
use std::panic::resume_unwind;
use std::thread;

/// Bytes for minirt itself, and for host functions below the guest.
const OWN: u64 = 2 << 20;

/// Does some work that gives a guest this many bytes of stack. It is done on this thread, unless
/// that has too small a stack.
///
/// # Errors
/// Returns an error if there can be no such stack.
pub(crate) fn with<T: Send>(guest: usize, work: impl FnOnce() -> T + Send) -> Result<T, Report> {
    let needed = OWN.saturating_add(guest as u64);
    // Where a filter denies the question, the stack may be too small.
    if Resource::STACK.get_soft().is_ok_and(|bytes| bytes >= needed) {
        return Ok(work());
    }
    thread::scope(|scope| {
        let bytes = usize::try_from(needed).unwrap_or(usize::MAX);
        match thread::Builder::new().name("main".to_owned()).stack_size(bytes).spawn_scoped(scope, work) {
            Ok(thread) => Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic))),
            Err(error) => {
                let what = format!("there cannot be a stack of {bytes} bytes");
                Err(Report::new(what, error.to_string(), "give the guest less with -W max-wasm-stack=N"))
            }
        }
    })
}

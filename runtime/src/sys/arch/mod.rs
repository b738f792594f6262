//! What depends on the processor: registers of an interrupted thread, frames on a stack, and the way into compiled code.
//!
//! Every processor has a file with the same items. Nothing outside names a register.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{enter, frame, interrupted, resume, thread_pointer};

/// Where a thread is, or is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Address of the instruction.
    pub(crate) pc: usize,
    /// Stack pointer.
    pub(crate) stack: usize,
    /// Frame pointer.
    pub(crate) frame: usize,
}

/// What the start of a stack frame says, as every function of compiled code sets it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Frame pointer of the caller.
    pub(crate) outer: usize,
    /// Where the caller goes on.
    pub(crate) return_address: usize,
    /// The first argument that the caller passed on the stack, if there was one.
    pub(crate) argument: usize,
}

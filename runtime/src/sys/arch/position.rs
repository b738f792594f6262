//! Defines the terms that all processors share: where a thread is, and what a frame on its stack
//! says.

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

/// The start of a stack frame, as every function of compiled code sets it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Frame pointer of the caller.
    pub(crate) outer: usize,
    /// Where the caller goes on.
    pub(crate) return_address: usize,
    /// The first argument that the caller passed on the stack, if there was one.
    pub(crate) argument: usize,
}

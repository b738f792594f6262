//! Defines the terms that all processors share: where a thread is, and what a frame on its stack
//! says.

/// Where a thread is, or is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Position {
    /// Address of the instruction.
    pub(crate) pc: usize,
    /// Stack pointer.
    pub(crate) stack: usize,
    /// Frame pointer.
    pub(crate) frame: usize,
}

/// Where code goes on that has called the runtime and gets no answer, and the two words that it
/// finds there in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Landing {
    pub(crate) at: Position,
    pub(crate) words: [u64; 2],
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

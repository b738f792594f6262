//! What compiler and runtime agree on, as data: where everything of an instance is, what it holds at the start, what
//! code calls, and the finished code.
//!
//! Nothing here knows Cranelift, wasmparser or mmap.

pub mod layout;
pub mod builtin;
pub mod code;
pub mod image;
pub(crate) mod compiled;
pub(crate) mod initialise;

//! Defines what compiler and runtime agree on, as data: the layout of an instance, what it holds at
//! the start, what code calls, and the finished code.
//!
//! Nothing here knows Cranelift, wasmparser or mmap.

pub mod layout;
pub mod builtin;
pub mod call_sites;
pub mod code;
pub mod image;
pub(crate) mod compiled;
pub(crate) mod initialise;

pub use initialise::empty_heap;

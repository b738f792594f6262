//! An instance before it exists: where everything sits, what it holds at the start, and the finished code, as data.
//!
//! This is the contract with the runtime. Nothing here knows Cranelift, wasmparser or mmap.

pub mod layout;
pub mod builtin;
pub mod code;
pub mod image;
pub(crate) mod compiled;
pub(crate) mod initialise;

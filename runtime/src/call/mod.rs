//! Enters Wasm, traps, throws, and comes back.
//!
//! Each call has an *activation* (`store::activation`), which is on the host's stack for as long as
//! the call lasts. No thread keeps anything about its calls: they may take turns on its stacks, or
//! move to another thread.
//!
//! Nothing here knows linkers or WASI.

pub(crate) mod frames;
mod backtrace;
mod roots;
pub(crate) mod collect;
pub(crate) mod unwind;
pub(crate) mod fault;
pub(crate) mod enter;
#[cfg(test)]
mod tests;

pub use backtrace::{FrameInfo, WasmBacktrace};
pub use frames::MemoryFault;

//! Entering Wasm, trapping, and coming back.
//!
//! A call's place in the world is its *activation* (`store::activation`), which is on the host's stack for as long as the
//! call lasts. Nothing is kept for each thread: calls may take turns on its stacks, or move to another.

pub(crate) mod frames;
mod backtrace;
mod reachable;
pub(crate) mod unwind;
pub(crate) mod fault;
pub(crate) mod enter;
#[cfg(test)]
mod tests;

pub use backtrace::{FrameInfo, WasmBacktrace};
pub use frames::MemoryFault;

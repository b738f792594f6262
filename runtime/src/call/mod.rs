//! Entering Wasm, trapping, and coming back.

pub(crate) mod activation;
mod backtrace;
pub(crate) mod fault;
pub(crate) mod enter;

pub use backtrace::{FrameInfo, WasmBacktrace};

//! Represents functions to the embedder: calls those of Wasm, and gives it those of the host.
//!
//! Nothing here knows linkers.

mod host;
mod into_func;
mod func;
mod typed;

pub use host::Caller;
pub(crate) use host::HostFunc;
pub(crate) use into_func::IntoHost;
pub use into_func::{IntoFunc, WasmParams, WasmResults, WasmRet};
pub use typed::TypedFunc;

//! Functions as the embedder sees them: calling those of Wasm, and giving it those of the host.

mod host;
mod into_func;
mod func;

pub use func::TypedFunc;
pub use host::Caller;
pub(crate) use host::HostFunc;
pub(crate) use into_func::IntoHost;
pub use into_func::{IntoFunc, WasmResults};
pub use into_func::{WasmParams, WasmRet};

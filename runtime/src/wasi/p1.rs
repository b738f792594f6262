//! The names that wasmtime has for WASI preview 1, in its crate `wasmtime-wasi`.

pub use super::ctx::WasiCtx as WasiP1Ctx;
pub use super::link::add_to_linker as add_to_linker_sync;

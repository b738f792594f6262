//! Represents values, and passes them into Wasm and back.

mod val;
pub(crate) mod wasm_ty;

pub use val::{Ref, Val};
pub use wasm_ty::WasmTy;

//! Represents values, and passes them into Wasm and back.
//!
//! Nothing here knows how calls are made.

mod any;
mod val;
pub(crate) mod wasm_ty;

pub use any::I31;
pub(crate) use val::word_matches;
pub use val::{Ref, Val};
pub use wasm_ty::WasmTy;

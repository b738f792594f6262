//! minirt, wasmtime and wasmi in the same words, for those who compare what they do
//! (`spec-tests/fuzz`) and how fast they are (`runtime/benches/peers`).
//!
//! The three name things alike, so one text serves all: the macro in `live`. `on_minirt`,
//! `on_wasmtime` and `on_wasmi` say what differs: how values, imports and errors of a runtime read
//! in the words of [`value`]. The runtimes themselves are passed on, so that their versions stand
//! in one place.

#![forbid(unsafe_code)]

// In reading order: a file uses only what stands above it.
pub mod value;
mod guest;
mod live;
pub mod on_minirt;
#[cfg(feature = "others")]
pub mod on_wasmi;
#[cfg(feature = "others")]
pub mod on_wasmtime;

pub use guest::{Answer, Guest, Host, HowToWrite};
pub use minirt;
#[cfg(feature = "others")]
pub use {wasmi, wasmtime};

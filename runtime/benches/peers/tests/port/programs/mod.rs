//! What is compiled for each crate. `super` has it as `api`, and what differs.

pub(crate) mod artifacts;
pub(crate) mod globals_and_tables;
pub(crate) mod hello;
pub(crate) mod linking;
pub(crate) mod memory;
pub(crate) mod multi_value;
#[cfg(feature = "exceptions")]
pub(crate) mod objects;
pub(crate) mod stopping;
pub(crate) mod threads;
pub(crate) mod tour;
pub(crate) mod traps;
#[cfg(feature = "wasi")]
pub(crate) mod wasi;

//! Reads the command line into inert data.
//!
//! Nothing here opens a file, makes an engine, or knows guests.

pub(crate) mod size;
pub(crate) mod wasm_options;
pub(crate) mod grants;
pub(crate) mod args;
pub(crate) mod usage;

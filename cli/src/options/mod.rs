//! Reads the command line into inert data.

pub(crate) mod size;
pub(crate) mod wasm_options;
pub(crate) mod grants;
pub(crate) mod args;
pub(crate) mod usage;

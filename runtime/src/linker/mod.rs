//! Finds the values of imports by their names.
//!
//! Nothing here knows WASI.

mod instance_pre;
mod similar;
mod unknown_import;
mod linker;
mod module;

pub use instance_pre::InstancePre;
pub use linker::Linker;
pub use unknown_import::UnknownImportError;

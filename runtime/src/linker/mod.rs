//! Finds the values of imports by their names.

mod instance_pre;
mod linker;
mod module;

pub use instance_pre::InstancePre;
pub use linker::Linker;

//! Names for imports.

mod instance_pre;
mod linker;
mod module;

pub use instance_pre::InstancePre;
pub use linker::Linker;

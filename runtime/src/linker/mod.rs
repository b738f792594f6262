//! Names for imports.

mod linker;
mod module;

pub use linker::{InstancePre, Linker};

//! Represents instances: their imports, how they come to life, and how they start again or become
//! the start of others.

mod instance;
pub(crate) mod imports;
pub(crate) mod instantiate;
mod snapshot;

pub use instance::Export;
pub(crate) use instantiate::Definition;
pub use snapshot::Snapshot;

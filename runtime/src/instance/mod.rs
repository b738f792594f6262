//! Instances: their imports, how they come to life, and how they start again or become the start of others.

pub(crate) mod imports;
pub(crate) mod instance;
mod snapshot;

pub(crate) use instance::Definition;
pub use instance::Export;
pub use snapshot::Snapshot;

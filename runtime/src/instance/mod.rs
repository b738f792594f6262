//! Represents instances: their imports, how they come to life, and how they start again or become
//! the start of others.

mod instance;
mod incompatible;
pub(crate) mod imports;
pub(crate) mod instantiate;
mod snapshot;

pub use incompatible::IncompatibleImportError;
pub use instance::Export;
pub(crate) use instantiate::Definition;
pub use snapshot::Snapshot;

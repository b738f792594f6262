//! Represents instances: their imports, how they come to life, and how they start again or become
//! the start of others.
//!
//! Nothing here knows linkers.

mod instance;
mod incompatible;
pub(crate) mod imports;
pub(crate) mod instantiate;
mod snapshot;
mod page_map;

pub use incompatible::IncompatibleImportError;
pub use instance::Export;
pub(crate) use instantiate::{Definition, ensure_heap};
pub use page_map::{FirstWriter, PageMap, PageRegion, PageRun, RegionKind};
pub use snapshot::Snapshot;

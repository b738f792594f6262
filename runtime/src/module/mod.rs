//! Represents compiled modules: makes them from bytes, and from and to artifacts.
//!
//! Nothing here knows stores.

mod module;
mod functions;
mod perf_map;
pub(crate) mod objects;
pub(crate) mod load;
mod artifact;
mod separate;
mod image_info;

pub use functions::ModuleFunction;
pub use image_info::{HeapImageInfo, ImageInfo, MemoryImageInfo, RemainingStep};
pub use module::{ExportType, ImportType, Module};
pub(crate) use module::{PrototypeParts, prototype_of_parts};

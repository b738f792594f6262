//! A compiled module in a user's hands; from and to artifacts.

pub(crate) mod module;
mod image_info;

pub use image_info::{ImageInfo, RemainingStep};
pub use module::ExportType;
pub use module::{ImportType, Module};

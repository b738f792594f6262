//! Holds a compiled module, the result of the whole pipeline.

use super::code::Code;
use super::image::InitialImage;
use super::layout::Layout;
use crate::module::ModuleInfo;

/// A compiled module: all that it takes to make instances of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The module's description.
    pub module: ModuleInfo,
    /// The places of everything in an instance.
    pub layout: Layout,
    /// The contents of an instance at the start.
    pub image: InitialImage,
    /// The machine code.
    pub code: Code,
}

//! Holds a compiled module, the result of the whole pipeline.

use super::code::Code;
use super::image::InitialImage;
use super::layout::Layout;
use crate::module::ModuleInfo;

/// A compiled module: all that it takes to make instances of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// What the module is.
    pub module: ModuleInfo,
    /// Where everything of an instance sits.
    pub layout: Layout,
    /// What an instance looks like at the start.
    pub image: InitialImage,
    /// What it executes.
    pub code: Code,
}

//! Compiles function bodies to machine code, with Cranelift.
//!
//! The only room that knows Cranelift. It never runs what it makes.

pub(crate) mod isa;
pub(crate) mod abi;
pub(crate) mod translate;
pub(crate) mod trampoline;
pub(crate) mod parallel;
mod inline;
mod refine;
mod webs;
mod align;
pub(crate) mod piece;
pub(crate) mod compile;
mod memory_provider;
pub(crate) mod link;
#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod golden;

//! Everything that asks the operating system for something: address space, images, stacks, signals.
//!
//! Linux on x86-64. Nothing here knows what an instance or a module is.

pub(crate) mod mapping;
pub(crate) mod fork;
pub(crate) mod memfd;
pub(crate) mod pagemap;
pub(crate) mod signal;
pub(crate) mod stack;

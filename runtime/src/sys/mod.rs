//! Asks the operating system for everything that minirt needs of it: address space, images, stacks,
//! signals.
//!
//! Linux; what depends on the processor is in `arch`. Nothing here knows what an instance or a
//! module is.

pub(crate) mod arch;
#[cfg(test)]
pub(crate) mod inject;
pub(crate) mod limits;
pub(crate) mod callers;
pub(crate) mod mapping;
pub(crate) mod fork;
pub(crate) mod descriptor;
pub(crate) mod memfd;
pub(crate) mod proc_file;
pub(crate) mod pagemap;
pub(crate) mod signal;
pub(crate) mod stack;
pub(crate) mod thread;

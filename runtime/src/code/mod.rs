//! Keeps machine code in executable memory, and leads from an address back to its tables.
//!
//! Knows nothing of modules or instances.

pub(crate) mod registry;
mod supertypes;
mod text;
pub(crate) mod writer;

pub(crate) use supertypes::SupertypeTable;
pub(crate) use text::LoadedCode;

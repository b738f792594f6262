//! Implements the methods of memories, tables, globals, tags and exceptions.
//!
//! Nothing here knows linkers.

mod memory;
mod table;
mod global;
mod tag;
mod exception;

pub use exception::{ExnRefPre, ExnType};
pub use memory::{MemoryAccessError, MemoryMut};

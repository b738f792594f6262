//! Implements the methods of memories, tables, globals, tags and exceptions.

mod memory;
mod table;
mod global;
mod tag;
mod exception;

pub use exception::{ExnRefPre, ExnType};
pub use memory::{MemoryAccessError, MemoryMut};

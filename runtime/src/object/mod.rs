//! Implements the methods of memories, tables, globals, values of the host, tags and exceptions.
//!
//! Nothing here knows linkers.

mod memory;
mod table;
mod global;
mod external;
mod tag;
mod exception;

pub use exception::{ExnRefPre, ExnType};
pub use memory::{MemoryAccessError, MemoryMut};

//! Implements the methods of memories, tables, globals, structures, arrays, values of the host,
//! tags and exceptions.
//!
//! Nothing here knows linkers.

mod memory;
mod table;
mod global;
mod contents;
mod structure;
mod array;
mod external;
mod tag;
mod exception;

pub use array::ArrayRefPre;
pub use exception::{ExnRefPre, ExnType};
pub use memory::{MemoryAccessError, MemoryMut};
pub use structure::StructRefPre;

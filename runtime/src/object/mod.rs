//! What can be done with a memory, a table or a global.

mod memory;
mod table;
mod global;

pub use memory::{MemoryAccessError, MemoryMut};

//! Implements the methods of memories, tables and globals.

mod memory;
mod table;
mod global;

pub use memory::{MemoryAccessError, MemoryMut};

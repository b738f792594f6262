//! The image: an instance as it stands right after instantiation, before any code ran.
//!
//! Where the specification's steps of instantiation (section 4.7.2) have a result that is known before
//! anything is imported, they are carried out here, once for all instances. What is left over is listed, in order, for the
//! runtime to do each time.

use crate::base::bytes::Bytes;

/// What every fresh instance starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialImage {
    /// The state, from `Layout`'s first byte of state on: as long as `Layout::state_size`.
    /// Funcref records lack what only a process knows: code and entry addresses, and type ids.
    pub state: Vec<u8>,
    /// The first memory that the module defines, where it is not zero: whole host pages, sorted, apart from each other.
    pub memory: Vec<Extent>,
    /// Bytes that are accessible of that memory at the start: its size in whole host pages, and 0 where there is none.
    pub memory_size: u64,
    /// The other memories that the module defines, in order. Each is an instance of its own, of a module that has only
    /// this memory.
    pub others: Vec<MemoryImage>,
    /// Defined globals (counted from 0, without imports) whose value depends on an import.
    pub dynamic_globals: Vec<u32>,
    /// Defined tables whose first elements depend on an import. Segments come after them.
    pub dynamic_tables: Vec<u32>,
    /// The first active element segment that has to be applied at run time, and with it all later ones.
    pub first_dynamic_element: Option<u32>,
    /// The first active data segment that has to be applied at run time, and with it all later ones.
    pub first_dynamic_data: Option<u32>,
    /// The start function, if it is still to be run. A snapshot has none.
    pub start: Option<u32>,
    /// Whether this is an instance that has run, frozen.
    pub snapshot: bool,
}

/// What a memory starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryImage {
    /// Its bytes at the start.
    pub size: u64,
    /// Where it is not zero, as in [`InitialImage::memory`].
    pub extents: Vec<Extent>,
}

/// A run of whole host pages of a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts, in bytes; a multiple of the host page.
    pub offset: u64,
    /// What is there; a multiple of the host page long.
    pub bytes: Bytes,
}

//! Describes the image: an instance right after instantiation, before any code has run.
//!
//! Some of the specification's steps of instantiation (section 4.7.2) have a result that is known
//! before anything is imported. `initialise` carries those out, once for all instances. The
//! [`Remaining`] ones are the runtime's, each time.

use crate::base::bytes::Bytes;
use crate::base::sparse::SparseBytes;

/// The contents of every fresh instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialImage {
    /// The state, from `Layout`'s first byte of state on: as long as `Layout::state_size`.
    /// Funcref records lack what only a process knows: code and entry addresses, and type ids.
    pub state: SparseBytes,
    /// The first memory that the module defines, where it is not zero: whole host pages, sorted,
    /// apart from each other.
    pub memory: Vec<Extent>,
    /// Bytes that are accessible of that memory at the start: its size in whole host pages, and 0
    /// where there is none.
    pub memory_size: u64,
    /// The other memories that the module defines, in order. Each belongs to an instance of its
    /// own, of a module that has only this memory.
    pub extra_memories: Vec<MemoryImage>,
    /// The heap, if the module's instances need one: with the objects that its constant expressions
    /// make. Their types are canonical type indices ([`object`](super::layout::object)).
    pub heap: Option<MemoryImage>,
    /// The steps of instantiation that are left for each instance.
    pub remaining: Remaining,
}

/// The steps of instantiation that the image does not hold, in the order in which they are done.
/// They depend on imports, or run code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// Defined globals (counted from 0, without imports) whose value depends on an import.
    pub globals: Vec<u32>,
    /// Tables (counted with imports) whose first elements depend on an import. Segments come after
    /// them.
    pub tables: Vec<u32>,
    /// Passive element segments whose new objects depend on an import.
    pub element_values: Vec<u32>,
    /// The first active element segment that has to be applied; all later ones have to be applied
    /// with it.
    pub first_element: Option<u32>,
    /// The first active data segment that has to be applied; all later ones have to be applied with
    /// it.
    pub first_data: Option<u32>,
    /// The start function, if it has to be run.
    pub start: Option<u32>,
    /// Whether the image is a snapshot: of an instance that has run, so that no step remains.
    pub snapshot: bool,
}

impl Remaining {
    /// Returns what remains of a snapshot: nothing.
    pub fn of_snapshot() -> Self {
        Self { snapshot: true, ..Self::default() }
    }

    /// Returns whether nothing has to be initialised, although there may be a start function.
    pub fn is_initialised(&self) -> bool {
        let Self { globals, tables, element_values, first_element, first_data, start: _, snapshot: _ } = self;
        globals.is_empty()
            && tables.is_empty()
            && element_values.is_empty()
            && first_element.is_none()
            && first_data.is_none()
    }
}

/// The contents of a memory at the start.
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
    /// The bytes there; a multiple of the host page long.
    pub bytes: Bytes,
}

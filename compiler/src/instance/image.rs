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
    #[inline]
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

impl InitialImage {
    /// Returns the image with memories that consist of pages of `page` bytes, which are no smaller
    /// than they were.
    pub fn with_pages(mut self, page: u64) -> Self {
        self.memory_size = self.memory_size.next_multiple_of(page);
        self.memory = in_pages(self.memory, page);
        for other in self.extra_memories.iter_mut().chain(&mut self.heap) {
            other.extents = in_pages(std::mem::take(&mut other.extents), page);
        }
        self
    }
}

/// Returns the same bytes as runs of whole pages of `page` bytes.
fn in_pages(extents: Vec<Extent>, page: u64) -> Vec<Extent> {
    let whole = |it: &Extent| it.offset.is_multiple_of(page) && (it.bytes.len() as u64).is_multiple_of(page);
    if extents.iter().all(whole) {
        return extents;
    }
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for Extent { offset, bytes } in extents {
        let (first, end) = (offset - offset % page, offset + bytes.len() as u64);
        if runs.last().is_none_or(|(start, run)| first > start + run.len() as u64) {
            runs.push((first, Vec::new()));
        }
        let (start, run) = runs.last_mut().expect("there is one");
        run.resize((end.next_multiple_of(page) - *start) as usize, 0);
        run[(offset - *start) as usize..(end - *start) as usize].copy_from_slice(&bytes);
    }
    runs.into_iter().map(|(offset, bytes)| Extent { offset, bytes: bytes.into() }).collect()
}

/// A run of whole host pages of a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts, in bytes; a multiple of the host page.
    pub offset: u64,
    /// The bytes there; a multiple of the host page long.
    pub bytes: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_pages_hold_what_smaller_ones_held() {
        let extent = |page: u64, bytes: &[u8]| Extent {
            offset: page * 4096,
            bytes: bytes.iter().flat_map(|byte| [*byte; 4096]).collect::<Vec<u8>>().into(),
        };
        let image = InitialImage {
            memory: vec![extent(1, &[1]), extent(3, &[3, 4]), extent(6, &[6]), extent(17, &[7])],
            memory_size: 18 * 4096,
            ..InitialImage::default()
        };
        let larger = image.clone().with_pages(16384);
        assert_eq!(larger.memory_size, 20 * 4096);
        assert_eq!(larger.memory, [extent(0, &[0, 1, 0, 3, 4, 0, 6, 0]), extent(16, &[0, 7, 0, 0])]);
        assert_eq!(larger.clone().with_pages(16384), larger);
        assert_eq!(image.clone().with_pages(4096), image);
    }
}

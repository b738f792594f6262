//! Machine code as it leaves the compiler: position-independent bytes and the tables that explain them.
//!
//! Plain data. Nothing here knows how the code was made or where it will be placed.

use crate::trap::Trap;
use std::ops::Range;

/// The finished text of a module and what is needed to run, debug and stop it.
///
/// Offsets count bytes from the start of `text`, except where a comment says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// The machine code. It calls within itself only, by distances, so it runs wherever it is placed.
    pub text: Vec<u8>,
    /// The defined functions, in index order.
    pub funcs: Vec<Range<u32>>,
    /// Host to Wasm: for each canonical type of a function that escapes, its entry trampoline. Sorted by type.
    pub entries: Vec<(u32, u32)>,
    /// Wasm to host: for each canonical type of an imported function, its exit trampoline. Sorted by type.
    pub exits: Vec<(u32, u32)>,
    /// Instructions that may trap, sorted by offset.
    pub traps: Vec<TrapSite>,
    /// Where the code of each Wasm instruction starts, sorted; good enough to name the place of a trap or call.
    pub places: Vec<Place>,
}

/// One instruction that may trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapSite {
    /// Where the instruction starts.
    pub offset: u32,
    /// What it means if the processor stops there.
    pub trap: Trap,
}

/// From here on, the code belongs to the Wasm instruction at `wasm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset into the text.
    pub offset: u32,
    /// Byte offset into the module.
    pub wasm: u32,
}

impl Code {
    /// What a fault at exactly this offset means; `None` if no instruction there may trap.
    pub fn trap_at(&self, offset: u32) -> Option<Trap> {
        let at = self.traps.binary_search_by_key(&offset, |site| site.offset).ok()?;
        Some(self.traps[at].trap)
    }

    /// The defined function (counted from 0, without imports) whose code includes this offset.
    pub fn func_at(&self, offset: u32) -> Option<usize> {
        let next = self.funcs.partition_point(|range| range.start <= offset);
        let index = next.checked_sub(1)?;
        self.funcs[index].contains(&offset).then_some(index)
    }

    /// The byte offset in the module of the instruction whose code includes this offset.
    pub fn wasm_offset(&self, offset: u32) -> Option<u32> {
        let next = self.places.partition_point(|place| place.offset <= offset);
        Some(self.places[next.checked_sub(1)?].wasm)
    }

    /// The entry trampoline for a canonical type.
    pub fn entry(&self, ty: u32) -> Option<u32> {
        find(&self.entries, ty)
    }

    /// The exit trampoline for a canonical type.
    pub fn exit(&self, ty: u32) -> Option<u32> {
        find(&self.exits, ty)
    }
}

fn find(table: &[(u32, u32)], ty: u32) -> Option<u32> {
    table.binary_search_by_key(&ty, |(t, _)| *t).ok().map(|at| table[at].1)
}

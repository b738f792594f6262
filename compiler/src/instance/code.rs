//! Holds machine code as it leaves the compiler: position-independent bytes and the tables that
//! explain them.
//!
//! This is plain data. Nothing here knows how the code was made or where it will be placed. The
//! tables that grow with the code are used in place, in memory or in an artifact.

use super::call_sites::CallSites;
use crate::base::bytes::{Bytes, Record, RecordTable};
use crate::base::sorted_table::SortedTable;
use crate::base::trap::Trap;
use std::ops::Range;

/// The machine code of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// The finished text: bodies of functions, then trampolines. It calls within itself only, by
    /// distances, so it runs wherever it is placed.
    pub text: Bytes,
    /// The tables that explain it.
    pub tables: CodeTables,
}

/// Tables to enter a text, to find out where it is, and what it means if it stops.
///
/// Offsets count bytes from the start of the text, except where a comment says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeTables {
    /// The defined functions, in index order.
    pub funcs: RecordTable<FuncRange>,
    /// Host to Wasm: for each canonical type of a function that escapes, its entry trampoline.
    /// Sorted by type.
    pub entries: Vec<(u32, u32)>,
    /// Wasm to host: for each canonical type of an imported function, its exit trampoline. Sorted
    /// by type.
    pub exits: Vec<(u32, u32)>,
    /// Instructions that can trap, sorted by offset.
    pub traps: SortedTable<TrapSite>,
    /// Where the code of each Wasm instruction starts, sorted. It is precise enough to locate a
    /// trap or call.
    pub address_map: SortedTable<AddressMapEntry>,
    /// Where code starts and ends that stands for a call, sorted.
    pub inlined: SortedTable<InlinedCode>,
    /// Where exceptions go, and where references are.
    pub call_sites: CallSites,
}

/// Where a function's code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncRange {
    /// Its first byte.
    pub start: u32,
    /// Behind its last byte.
    pub end: u32,
}

impl FuncRange {
    /// Returns it as a range.
    pub fn range(self) -> Range<u32> {
        self.start..self.end
    }
}

/// One instruction that can trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapSite {
    /// Where the instruction starts.
    pub offset: u32,
    /// Which trap it is if the processor stops there, as [`Trap::code`].
    pub code: u8,
}

/// From here on, the code belongs to the Wasm instruction at `wasm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressMapEntry {
    /// Offset into the text.
    pub offset: u32,
    /// Byte offset into the module.
    pub wasm: u32,
}

/// From here on, code stands for a call: it is that of the function that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlinedCode {
    /// Offset into the text.
    pub offset: u32,
    /// Byte offset of the call in the module; [`NO_CALL`] if code from here on stands for none.
    pub call: u32,
}

/// Stands for the place of a call where there is none.
pub const NO_CALL: u32 = u32::MAX;

impl Record for InlinedCode {
    fn pack(self) -> [u32; 2] {
        [self.offset, self.call]
    }
    fn unpack([offset, call]: [u32; 2]) -> Self {
        Self { offset, call }
    }
}

impl Record for FuncRange {
    fn pack(self) -> [u32; 2] {
        [self.start, self.end]
    }
    fn unpack([start, end]: [u32; 2]) -> Self {
        Self { start, end }
    }
}

impl Record for TrapSite {
    fn pack(self) -> [u32; 2] {
        [self.offset, u32::from(self.code)]
    }
    fn unpack([offset, code]: [u32; 2]) -> Self {
        Self { offset, code: code as u8 }
    }
}

impl Record for AddressMapEntry {
    fn pack(self) -> [u32; 2] {
        [self.offset, self.wasm]
    }
    fn unpack([offset, wasm]: [u32; 2]) -> Self {
        Self { offset, wasm }
    }
}

impl CodeTables {
    /// Returns what a fault at exactly this offset means. `None` if no instruction there can trap.
    pub fn trap_at(&self, offset: u32) -> Option<Trap> {
        let site = self.traps.at_or_before(offset)?;
        if site.offset == offset { Trap::from_code(site.code) } else { None }
    }

    /// Returns the defined function (counted from 0, without imports) whose code includes this
    /// offset.
    pub fn func_at(&self, offset: u32) -> Option<usize> {
        let index = self.funcs.partition_point(|func| func.start <= offset).checked_sub(1)?;
        self.funcs.get(index)?.range().contains(&offset).then_some(index)
    }

    /// Returns where the bodies of functions end and trampolines begin.
    pub fn bodies_end(&self) -> u32 {
        self.funcs.len().checked_sub(1).and_then(|last| self.funcs.get(last)).map_or(0, |last| last.end)
    }

    /// Returns the byte offset in the module of the instruction whose code includes this offset.
    pub fn wasm_offset(&self, offset: u32) -> Option<u32> {
        Some(self.address_map.at_or_before(offset)?.wasm)
    }

    /// Returns the byte offset in the module of the call that the code at this offset stands for,
    /// if it is that of another function.
    pub fn inlined_call(&self, offset: u32) -> Option<u32> {
        Some(self.inlined.at_or_before(offset)?.call).filter(|call| *call != NO_CALL)
    }

    /// Returns the offset of the entry trampoline for a canonical type.
    pub fn entry(&self, ty: u32) -> Option<u32> {
        find(&self.entries, ty)
    }

    /// Returns the offset of the exit trampoline for a canonical type.
    pub fn exit(&self, ty: u32) -> Option<u32> {
        find(&self.exits, ty)
    }
}

fn find(table: &[(u32, u32)], ty: u32) -> Option<u32> {
    table.binary_search_by_key(&ty, |(t, _)| *t).ok().map(|at| table[at].1)
}

//! The functions of the runtime that compiled code calls back: their order in the table and their shapes.
//!
//! The table hangs off the host cell (`layout::header::BUILTINS`); entry `n` is the address of an
//! `extern "C"` function whose first argument is the caller's vmctx. A builtin never unwinds and never
//! raises a trap itself: it says that it failed, and compiled code traps.
//!
//! Tables and memories are named by the caller's own index; addresses, indices and lengths are widened to
//! 64 bits, so that one shape serves both address types. A reference is a 64-bit word: the address of a
//! funcref record, or the handle of an externref; 0 is null.

/// What `memory.grow` and `table.grow` give when nothing has changed.
pub const GROWTH_REFUSED: i64 = -1;
/// What the builtins for them give when the embedder failed: compiled code traps.
pub const GROWTH_FAILED: i64 = -2;

/// A builtin's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Builtin {
    /// `(vmctx, memory: u32, delta: u64) -> i64`: pages before, or -1, or -2.
    MemoryGrow,
    /// `(vmctx, to: u32, to_at: u64, from: u32, from_at: u64, len: u64) -> u32`: 0, or 1 when out of bounds.
    MemoryCopy,
    /// `(vmctx, memory: u32, at: u64, byte: u32, len: u64) -> u32`: 0, or 1 when out of bounds.
    MemoryFill,
    /// `(vmctx, memory: u32, segment: u32, at: u64, from: u64, len: u64) -> u32`: 0, or 1 when out of bounds.
    MemoryInit,
    /// `(vmctx, table: u32, value: u64, delta: u64) -> i64`: elements before, or -1, or -2.
    TableGrow,
    /// `(vmctx, table: u32, at: u64, value: u64, len: u64) -> u32`: 0, or 1 when out of bounds.
    TableFill,
    /// `(vmctx, to: u32, to_at: u64, from: u32, from_at: u64, len: u64) -> u32`: 0, or 1 when out of bounds.
    TableCopy,
    /// `(vmctx, table: u32, segment: u32, at: u64, from: u64, len: u64) -> u32`: 0, or 1 when out of bounds.
    TableInit,
    /// `(vmctx, found: u32, wanted: u32) -> u32`: 0 if the type of the first number is or extends the second, else 1.
    CheckSubtype,
    /// `(vmctx, frame) -> u32`, called by a trampoline with that frame: 0 if the code may go on although the store's epoch deadline has passed, else 1.
    NewEpoch,
}

impl Builtin {
    /// Entries in the table.
    pub const COUNT: usize = 10;

    /// Distance of the entry from the start of the table, in bytes.
    pub const fn offset(self) -> i32 {
        8 * self as i32
    }
}

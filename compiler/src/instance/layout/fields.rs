//! Lists the fields that compiled code and the runtime share, as distances from where each
//! structure is.
//!
//! The runtime mirrors these in Rust types, and asserts that they agree.

use super::slot::{CACHE_LINE, HOST};

/// Bytes of a table element: a funcref as a distance, or the handle of an externref.
pub const ELEMENT_SIZE: u64 = 8;

/// Fields at the start of the host cell, as distances from vmctx.
pub mod header {
    use super::{CACHE_LINE, HOST};

    /// Pointer to the table of builtin functions.
    pub const BUILTINS: i32 = HOST;
    /// Pointer to the instance's store, which begins with its [`allowance`](super::allowance).
    pub const ALLOWANCE: i32 = HOST + 8;
    /// Pointer to the runtime's own description of the instance.
    pub const INSTANCE: i32 = HOST + 16;
    /// The base of the store's heap ([`object`](super::super::object)). Without a heap, it is
    /// vmctx, where all accesses fault.
    pub const HEAP: i32 = HOST + 24;
    /// vmctx of the instance that brought the heap: references to functions in objects are
    /// distances from there.
    pub const HEAP_OWNER: i32 = HOST + 32;
    /// Pointer to the engine's table of supertypes ([`supertypes`](super::supertypes)).
    pub const SUPERTYPES: i32 = HOST + 40;
    /// The address of the linear memory in the slot.
    pub const MEMORY_BASE: i32 = HOST + 48;
    /// Bytes kept for these fields.
    pub const SIZE: u64 = CACHE_LINE;
}

/// The allowance of a store: what its code may use, as distances from where it is. Only metered
/// code looks at fuel and epochs ([`Metering`](crate::Metering)).
pub mod allowance {
    /// Units of fuel that are left, 64 bits and signed. Below 0, code has used more than there was.
    pub const FUEL: i32 = 0;
    /// The epoch from which on the store's code has to ask whether it may go on, 64 bits.
    pub const EPOCH_DEADLINE: i32 = 8;
    /// Pointer to the engine's epoch, 64 bits, which any thread may change at any time.
    pub const EPOCH: i32 = 16;
    /// The lowest stack pointer that a Wasm function may reach, 64 bits.
    pub const STACK_LIMIT: i32 = 24;
    /// Bytes of these fields.
    pub const SIZE: u64 = 32;
}

/// The fields that an entry trampoline fills in at the start of an activation, as distances from
/// there: where to resume after a trap. Each has 64 bits.
pub mod activation {
    /// Frame pointer of the trampoline.
    pub const FRAME: i32 = 0;
    /// Stack pointer of the trampoline.
    pub const STACK: i32 = 8;
    /// Address of the code that resumes there.
    pub const HANDLER: i32 = 16;
    /// Where the trampoline's caller leaves the activation's address, as a distance from the
    /// trampoline's frame pointer. It is the first argument that has no register, and lies above
    /// the saved frame pointer and the return address.
    pub const FROM_FRAME: i32 = 16;
}

/// The engine's table of supertypes: for each type, by its number, the numbers of those that it
/// extends.
pub mod supertypes {
    /// Bytes of an entry, and its binary logarithm.
    pub const ENTRY_SIZE: u64 = 1 << ENTRY_SIZE_LOG2;
    /// See [`ENTRY_SIZE`].
    pub const ENTRY_SIZE_LOG2: u32 = 5;
    /// How many numbers an entry has, 32 bits each. The first is that of the type that extends
    /// none; the type itself is the last one. If there are more, only these are in the table.
    pub const DEPTH: u32 = 8;
    /// Stands where there are fewer. No type has it.
    pub const NONE: u32 = u32::MAX;
}

/// Bytes of a value in the array in which host and Wasm hand each other arguments and results.
pub const VALUE_SIZE: u64 = 16;

/// A function as something to point at: where references lead, and what an indirect call reads.
///
/// Records of defined functions are part of the state; those of imported ones open their
/// [`import_func`] entry.
pub mod func_record {
    /// Address of the machine code (tail calling convention).
    pub const CODE: i32 = 0;
    /// Distance from this record to the vmctx that the code expects.
    pub const CALLEE: i32 = 8;
    /// The engine's number for the function's type, 32 bits.
    pub const TYPE_ID: i32 = 16;
    /// Address of the trampoline that enters the code from the host; 0 for a host function.
    pub const ENTRY: i32 = 24;
    /// Bytes of a record.
    pub const SIZE: u64 = 32;
}

/// The context that a host function gets in place of a vmctx.
pub mod host_context {
    /// Address of the function that an exit trampoline calls.
    pub const CALL: i32 = 0;
    /// Address of the closure.
    pub const DATA: i32 = 8;
    /// vmctx of the importing instance; 0 for a function that is reached through a reference.
    pub const IMPORTER: i32 = 16;
    /// Bytes of these fields.
    pub const SIZE: u64 = 24;
}

/// The host cell's entry for an imported function.
///
/// A host function's `CALLEE` points at the entry's own `HOST` field.
pub mod import_func {
    use super::{func_record, host_context};

    /// A [`func_record`].
    pub const RECORD: i32 = 0;
    /// Absolute address of the vmctx that the code expects, for direct calls.
    pub const CALLEE: i32 = RECORD + func_record::SIZE as i32;
    /// Host functions only: a [`host_context`].
    pub const HOST: i32 = CALLEE + 8;
    /// Bytes of an entry.
    pub const SIZE: u64 = HOST as u64 + host_context::SIZE;
}

/// The host cell's entry for an imported table or memory.
pub mod import_space {
    /// Absolute address of its first element or byte; it never moves.
    pub const BASE: i32 = 0;
    /// Absolute address of its current size: 64 bits, in elements or bytes.
    pub const SIZE_AT: i32 = 8;
    /// vmctx of the instance that defines it.
    pub const OWNER: i32 = 16;
    /// Its index there, 32 bits.
    pub const INDEX: i32 = 24;
    /// Bytes of an entry.
    pub const SIZE: u64 = 32;
}

/// The host cell's entry for an imported tag.
pub mod import_tag {
    /// The number of the tag in its store, 64 bits.
    pub const NUMBER: i32 = 0;
    /// Bytes of an entry.
    pub const SIZE: u64 = 8;
}

/// The host cell's entry for an imported global.
pub mod import_global {
    /// Absolute address of its value.
    pub const ADDRESS: i32 = 0;
    /// vmctx of the instance that defines it: a funcref in it is a distance from there.
    pub const OWNER: i32 = 8;
    /// Bytes of an entry.
    pub const SIZE: u64 = 16;
}

//! Defines where everything of an instance is, as distances from vmctx.
//!
//! Nothing here knows mmap, Cranelift, or what the bytes are at the start (`image`).

mod slot;
mod fields;
pub mod object;
mod layout;

pub use fields::{
    ELEMENT_SIZE, VALUE_SIZE, activation, allowance, func_record, header, host_context, import_func, import_global,
    import_space, import_tag, supertypes,
};
pub use layout::{DropFlag, GlobalPlace, Layout, MemoryPlace, TablePlace};
pub use slot::{GUARD, HOST, MEMORY, MEMORY_RESERVED, PAGE_MAX, PAGE_MIN, SLOT_SIZE, STATE_MAX, TABLE_MAX, VMCTX};

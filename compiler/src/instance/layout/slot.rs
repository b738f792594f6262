//! Draws the address space of one instance, a slot, and says what is where in it.
//!
//! An instance lives in a *slot*: one reservation of [`SLOT_SIZE`] bytes. Compiled code holds one
//! pointer into it, vmctx, and reaches everything else at a constant distance from there.
//!
//! ```text
//!  slot + 0          0.5 GiB           1.5 GiB           2.5 GiB                   6.5 GiB       7 GiB
//!  +-----------+-----+-----------------+-----------------+-------------------------+-------------+
//!  | host cell | state ...  | guard: nothing here is ever accessible | linear memory 0 | guard    |
//!  +-----------+-----+-----------------+-----------------+-------------------------+-------------+
//!  ^ HOST            ^ STATE_MAX       ^ vmctx = 0       ^ MEMORY
//! ```
//!
//! vmctx points into the middle of the guard. From there both the state and the start of the memory
//! are within a signed 32-bit displacement, so an access to either needs no base register of its
//! own. (Code that accesses the memory often has one all the same: the host cell has its address.)
//! Still, 2 GiB of inaccessible space are between anything writable and the start of the
//! memory. It also makes a null funcref cheap to catch: distance 0 from vmctx is an address that
//! always faults.
//!
//! - The **host cell** holds what differs between two instances of a module: the addresses of the
//!   store, the builtins and the runtime's description, and the imports. Absolute addresses are
//!   allowed here and nowhere else. It is not part of the image.
//! - The **state** is what the specification calls a module instance: sizes, globals, segment
//!   flags, tables, and the funcref records. It is part of the image, and does not depend on which
//!   slot it is in.

const GIB: u64 = 1 << 30;

/// Bytes that a slot reserves. 16,384 of them fit below the 47-bit end of user space.
pub const SLOT_SIZE: u64 = 7 * GIB;
/// Distance from the start of a slot to its vmctx.
pub const VMCTX: u64 = 3 * GIB / 2;
/// Where the host cell, and with it the slot, starts.
pub const HOST: i32 = -(VMCTX as i32);
/// The most bytes that host cell and state may take together.
pub const STATE_MAX: u64 = GIB / 2;
/// Where linear memory 0 starts.
pub const MEMORY: i32 = GIB as i32;
/// Bytes of address space that a linear memory can use.
pub const MEMORY_RESERVED: u64 = 4 * GIB;
/// Inaccessible bytes after a linear memory. A constant offset that ends before this needs no
/// bounds check.
pub const GUARD: u64 = GIB / 2;
/// Bytes in the smallest host page that there is: x86-64 has no other.
pub const PAGE_MIN: u64 = 4 << 10;
/// Bytes in the largest host page that there is (64-bit Arm). Pages of WebAssembly are no smaller,
/// so a memory ends where a host page does, whichever size that has.
pub const PAGE_MAX: u64 = 64 << 10;
/// Bytes in a cache line.
pub(super) const CACHE_LINE: u64 = 64;

/// The most elements that a table may have, as in other engines.
pub const TABLE_MAX: u64 = 10_000_000;
/// Bytes of address space in which all growable tables together can grow.
pub(super) const TABLE_ROOM: u64 = STATE_MAX / 2;

// The promises of the picture.
const _: () = {
    assert!(VMCTX as i64 + HOST as i64 == 0);
    assert!(VMCTX + MEMORY as u64 - STATE_MAX >= 2 * GIB);
    assert!(VMCTX + MEMORY as u64 + MEMORY_RESERVED + GUARD == SLOT_SIZE);
    assert!(SLOT_SIZE * 16_384 < 1 << 47);
    // A null funcref is vmctx itself: reading a type id there must fault.
    assert!(VMCTX > STATE_MAX);
    assert!(PAGE_MAX.is_multiple_of(PAGE_MIN) && MEMORY_RESERVED.is_multiple_of(PAGE_MAX));
};

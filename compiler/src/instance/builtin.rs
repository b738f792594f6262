//! Lists the builtins: the functions of the runtime that compiled code calls. Both crates take what
//! they need from the list.
//!
//! [`for_each_builtin`](crate::for_each_builtin) is the list. Here it becomes the enum [`Builtin`],
//! with each function's place in the table and its signature. The runtime expands it to the table
//! itself, so a function that is missing there, or has other parameters, does not compile. To add a
//! builtin, add a row, write the function that the compiler then asks for in the runtime's
//! `ops::builtins`, and call it from translated code.
//!
//! The table hangs off the host cell (`layout::header::BUILTINS`). Each entry is the address of an
//! `extern "C"` function whose first argument is the caller's vmctx; the list has the others. A
//! builtin never unwinds and never raises a trap itself: it returns that it failed, and compiled
//! code traps.
//!
//! Tables and memories are named by the caller's own index. Addresses, indices and lengths are
//! widened to 64 bits, so that one function serves both address types. A reference is a 64-bit
//! word: the address of a funcref record, or the handle of an externref; 0 is null.

/// The result of `memory.grow` and `table.grow` if nothing has changed.
pub const GROWTH_REFUSED: i64 = -1;
/// The result of the builtins for them if the embedder failed: compiled code traps.
pub const GROWTH_FAILED: i64 = -2;

/// The result of a host function to its exit trampoline if it failed. No function is at this
/// address.
pub const HOST_FAILED: i64 = 1;
/// The result of allocations if the embedder failed: compiled code traps.
pub const ALLOCATION_FAILED: u64 = 1;

/// Calls a macro with the list of builtins: for each its name in [`Builtin`], and its Rust
/// signature without vmctx.
#[macro_export]
macro_rules! for_each_builtin {
    ($callback:ident) => {
        $callback! {
            /// Grows a memory. Returns its pages before, or `GROWTH_REFUSED` or `GROWTH_FAILED`.
            MemoryGrow = fn memory_grow(memory: u32, delta: u64) -> i64;
            /// Copies between memories. Returns 0, or 1 if a range is out of bounds.
            MemoryCopy = fn memory_copy(to: u32, to_at: u64, from: u32, from_at: u64, len: u64) -> u32;
            /// Fills a memory with the low byte of `byte`. Returns 0, or 1 if the range is out of
            /// bounds.
            MemoryFill = fn memory_fill(memory: u32, at: u64, byte: u32, len: u64) -> u32;
            /// Copies from a data segment. Returns 0, or 1 if a range is out of bounds.
            MemoryInit = fn memory_init(memory: u32, segment: u32, at: u64, from: u64, len: u64) -> u32;
            /// Grows a table. Returns its elements before, or `GROWTH_REFUSED` or `GROWTH_FAILED`.
            TableGrow = fn table_grow(table: u32, value: u64, delta: u64) -> i64;
            /// Fills a table. Returns 0, or 1 if the range is out of bounds.
            TableFill = fn table_fill(table: u32, at: u64, value: u64, len: u64) -> u32;
            /// Copies between tables. Returns 0, or 1 if a range is out of bounds.
            TableCopy = fn table_copy(to: u32, to_at: u64, from: u32, from_at: u64, len: u64) -> u32;
            /// Copies from an element segment. Returns 0, or 1 if a range is out of bounds.
            TableInit = fn table_init(table: u32, segment: u32, at: u64, from: u64, len: u64) -> u32;
            /// Makes room for an object of so many bytes. Returns its offset in the heap, 0 if
            /// there is no room, or `ALLOCATION_FAILED`.
            GcAllocate = fn gc_allocate(size: u64) -> u64;
            /// Copies bytes within the heap, given their addresses. Returns 0, or 1 if they are not
            /// in the heap.
            HeapCopy = fn heap_copy(to: u64, from: u64, len: u64) -> u32;
            /// Copies from a data segment to elements of `size` bytes, which are known to be there.
            /// Returns 0, or 1 if the bytes are not. Into array 0, it copies nothing.
            ArrayInitData = fn array_init_data(to: u64, segment: u32, size: u32, at: u32, from: u32, len: u32) -> u32;
            /// Copies from an element segment to elements of `size` bytes, as `array_init_data`
            /// does.
            ArrayInitElem = fn array_init_elem(to: u64, segment: u32, size: u32, at: u32, from: u32, len: u32) -> u32;
            /// Compares types by the engine's numbers. Returns 0 if `found` is `wanted` or extends
            /// it, otherwise 1.
            CheckSubtype = fn check_subtype(found: u32, wanted: u32) -> u32;
            /// Asks the store whether the code may go on although its epoch deadline has passed. A
            /// trampoline calls it, with its frame. Returns 0 if it may, otherwise 1.
            NewEpoch = fn new_epoch(frame: *const usize) -> u32;
            /// Makes an exception, and returns a reference to it. `carried` are the values of the
            /// tag's types, each with room for any. Returns 0 if the store has too many.
            NewException = fn new_exception(tag: u32, carried: *const u128) -> u64;
            /// Throws an exception that no handler of the calling function takes. Never returns.
            Throw = fn throw(tag: u32, carried: *const u128) -> u32;
            /// Throws the exception that a reference is to, which is not null. Never returns.
            ThrowRef = fn throw_ref(exception: u64) -> u32;
        }
    };
}

/// How wide a parameter or result is. All are integers or addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 32 bits.
    W32,
    /// 64 bits.
    W64,
}

/// A Rust type that a builtin can take or return.
trait Scalar {
    const WIDTH: Width;
}

impl Scalar for u32 {
    const WIDTH: Width = Width::W32;
}

impl Scalar for u64 {
    const WIDTH: Width = Width::W64;
}

impl Scalar for i64 {
    const WIDTH: Width = Width::W64;
}

impl<T> Scalar for *const T {
    const WIDTH: Width = Width::W64;
}

/// The parameters of a builtin, behind the caller's vmctx, and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltinSignature {
    /// Its parameters, without vmctx.
    pub params: &'static [Width],
    /// Its result.
    pub result: Width,
}

macro_rules! define {
    ($($(#[$doc:meta])* $name:ident = fn $function:ident($($param:ident: $ty:ty),*) -> $result:ty;)*) => {
        /// A function of the runtime, by its place in the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Builtin {
            $($(#[$doc])* $name,)*
        }

        impl Builtin {
            /// All builtins, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns what the function takes and returns.
            pub const fn signature(self) -> BuiltinSignature {
                match self {
                    $(Self::$name => BuiltinSignature {
                        params: &[$(<$ty as Scalar>::WIDTH),*],
                        result: <$result as Scalar>::WIDTH,
                    },)*
                }
            }
        }

        /// The list as text. Code can use a table of builtins if it was compiled for one with the
        /// same text.
        pub(crate) const CONTRACT: &str =
            concat!($(stringify!($function($($param: $ty),*) -> $result), "; "),*);
    };
}

for_each_builtin!(define);

impl Builtin {
    /// Entries in the table.
    pub const COUNT: usize = Self::ALL.len();

    /// Returns the distance of the entry from the start of the table, in bytes.
    pub const fn offset(self) -> i32 {
        8 * self as i32
    }
}

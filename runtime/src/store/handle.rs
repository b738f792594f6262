//! Defines handles: small copyable names for things that a store owns.
//!
//! A handle is valid as long as its store. Using it with another store is an error or a panic,
//! never an access. The methods of each kind stand in the file of its name.

use crate::vmctx::FuncRecord;
use std::cell::Cell;
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no other store of this process ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(u64);

impl StoreId {
    #[inline]
    pub(crate) fn next() -> Self {
        /// How many numbers a thread takes at a time, so that threads seldom write to the same
        /// place.
        const BLOCK: u64 = 1 << 16;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        thread_local!(static MINE: Cell<u64> = const { Cell::new(0) });
        let mut id = MINE.get();
        if id.is_multiple_of(BLOCK) {
            id = NEXT.fetch_add(BLOCK, Ordering::Relaxed);
        }
        MINE.set(id + 1);
        Self(id)
    }

    /// Checks that a handle of this store is used with this store.
    ///
    /// # Panics
    /// Panics if `other` is another store.
    #[inline]
    pub(crate) fn assert_same_store(self, other: Self) {
        assert!(self == other, "a handle was used with a store that it does not belong to");
    }
}

/// An instance of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    pub(crate) store: StoreId,
    /// Its index among the store's instances.
    pub(crate) index: u32,
}

/// A function of an instance or of the host.
#[derive(Clone, Copy, Debug)]
pub struct Func {
    pub(crate) store: StoreId,
    /// Lives as long as the store: in an instance's slot, or among the store's host functions.
    pub(crate) record: NonNull<FuncRecord>,
}

// SAFETY: the pointer is only followed by code that has the store as well, and the store changes
// threads as a whole.
unsafe impl Send for Func {}
// SAFETY: as above.
unsafe impl Sync for Func {}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            /// The instance that defines it.
            pub(crate) instance: Instance,
            /// Its index there.
            pub(crate) index: u32,
        })*
    };
}

handles! {
    /// A linear memory.
    Memory,
    /// A table.
    Table,
    /// A global.
    Global,
    /// A tag: what kind of exception something is, and what exceptions of that kind carry.
    Tag,
}

/// A reference to an exception as Wasm holds it. Its lowest bits say that it is one. Above them is
/// the exception's place in the store. The high half says which of the exceptions it is that were
/// there one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExnReference(pub(crate) NonZeroU64);

/// Anything that can be imported or exported.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each is the handle of its name")]
pub enum Extern {
    Func(Func),
    Global(Global),
    Table(Table),
    Memory(Memory),
    Tag(Tag),
}

impl Extern {
    pub(crate) fn store(self) -> StoreId {
        match self {
            Self::Func(Func { store, .. }) => store,
            Self::Global(Global { instance, .. })
            | Self::Table(Table { instance, .. })
            | Self::Memory(Memory { instance, .. })
            | Self::Tag(Tag { instance, .. }) => instance.store,
        }
    }
}

macro_rules! extern_conversions {
    ($($name:ident $into:ident,)*) => {
        impl Extern {
            $(/// Returns the handle, if it is of this kind.
            pub fn $into(self) -> Option<$name> {
                match self {
                    Self::$name(it) => Some(it),
                    _ => None,
                }
            })*
        }
        $(impl From<$name> for Extern {
            fn from(it: $name) -> Self {
                Self::$name(it)
            }
        })*
    };
}

extern_conversions! {
    Func into_func,
    Global into_global,
    Table into_table,
    Memory into_memory,
    Tag into_tag,
}

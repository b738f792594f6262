//! Gives the numbers that a guest passes types of their own, so that no two are mistaken for each
//! other.
//!
//! Whatever is here may have any value. `guest` says what lies in a guest's memory, `fd_table`
//! which descriptors there are.

use super::errno::{Errno, Result};
use std::marker::PhantomData;

macro_rules! numbers {
    ($($(#[$doc:meta])* $Name:ident($number:ident);)*) => {
        $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) struct $Name(pub(super) $number);

        impl $Name {
            pub(super) fn from_wasm(argument: $number) -> Result<Self> {
                Ok(Self(argument))
            }
        }
        )*
    };
}

numbers! {
    /// A descriptor's number.
    Fd(u32);
    /// A number of bytes in the guest's memory, or of things there.
    Size(u32);
    /// A file's size, or a place in it, in bytes.
    Filesize(u64);
    /// A distance between places in a file, in bytes.
    Filedelta(i64);
    /// Nanoseconds: of a clock, since 1970 for the real-time clock and for files.
    Timestamp(u64);
    /// Where the listing of a directory goes on.
    Dircookie(u64);
    /// The point that a position is relative to; `fd_seek` knows which there are.
    Whence(u32);
    /// The way in which a file will be read; `fd_advise` knows which there are.
    Advice(u32);
    /// A clock; `clock` knows which there are.
    Clockid(u32);
    /// A signal; `proc_raise` knows which there are.
    Signal(u32);
}

/// An address in the guest's memory, where a `T` is read or written.
#[derive(Debug)]
pub(super) struct GuestPtr<T> {
    pub(super) address: u32,
    what: PhantomData<T>,
}

impl<T> GuestPtr<T> {
    pub(super) fn new(address: u32) -> Self {
        Self { address, what: PhantomData }
    }

    pub(super) fn from_wasm(address: u32) -> Result<Self> {
        Ok(Self::new(address))
    }

    /// Returns the address of the entry with this index, each of which has `size` bytes. The array
    /// must end inside the memory, which whoever asks for its bytes has found out.
    pub(super) fn entry(self, index: u32, size: u32) -> Self {
        Self::new(self.address + index * size)
    }

    /// Returns an array of this many entries of `size` bytes. It is a `FAULT` if no memory has that
    /// many bytes.
    pub(super) fn array(self, count: u32, size: u32) -> Result<GuestSlice> {
        let len = count.checked_mul(size).ok_or(Errno::FAULT)?;
        Ok(GuestSlice { address: self.address, len })
    }
}

impl<T> Clone for GuestPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for GuestPtr<T> {}

/// Bytes in the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GuestSlice {
    pub(super) address: u32,
    pub(super) len: u32,
}

impl GuestSlice {
    pub(super) fn from_wasm(address: u32, len: u32) -> Result<Self> {
        Ok(Self { address, len })
    }
}

/// A path in the guest's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct GuestPath(pub(super) GuestSlice);

impl GuestPath {
    pub(super) fn from_wasm(address: u32, len: u32) -> Result<Self> {
        GuestSlice::from_wasm(address, len).map(Self)
    }
}

/// An array of buffers in the guest's memory, each an address and a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Iovecs {
    pub(super) address: u32,
    pub(super) count: u32,
}

impl Iovecs {
    pub(super) fn from_wasm(address: u32, count: u32) -> Result<Self> {
        Ok(Self { address, count })
    }
}

//! Represents linear memories to the embedder.

use crate::cow::PageStats;
use crate::instance::Definition;
use crate::ops::bulk;
use crate::ops::grow;
use crate::pool::InstanceData;
use crate::store::Memory;
use crate::store::{AsContext, AsContextMut, StoreContext, StoreContextMut};
use anyhow::{Result, anyhow};
use minirt_compiler::module::MemoryType;
use std::fmt;
use std::ops::Range;

/// Returned when an access would leave the memory. Nothing was read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryAccessError {
    offset: usize,
    len: usize,
    size: usize,
}

impl fmt::Display for MemoryAccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, len, size } = self;
        write!(f, "out of bounds memory access: {len} bytes at {offset:#x} of a memory of {size:#x} bytes")
    }
}

impl std::error::Error for MemoryAccessError {}

/// A memory's bytes, readable everywhere, and writable range by range.
///
/// Unlike [`Memory::data_mut`], this does not make the whole memory writable, but only the ranges
/// that are asked for. For an instance that is reset by its hot set, writing a few bytes is cheap
/// then.
pub struct MemoryMut<'a> {
    bytes: &'a mut [u8],
    /// The instance that owns them; `None` for bytes of the host.
    owner: Option<&'a mut InstanceData>,
}

impl fmt::Debug for MemoryMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryMut").field(&self.bytes.len()).finish()
    }
}

/// Makes bytes of the host look like a memory, for code that works on either.
impl<'a> From<&'a mut [u8]> for MemoryMut<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self { bytes, owner: None }
    }
}

impl MemoryMut<'_> {
    /// Returns all bytes, for reading.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
    }

    /// Returns a range for writing, by the host or the kernel.
    ///
    /// # Errors
    /// Returns an error if the range is not inside the memory, or if the kernel does not make it
    /// writable (in practice, because it has no memory left).
    pub fn range_mut(&mut self, range: Range<usize>) -> Result<&mut [u8], MemoryAccessError> {
        let [bytes] = self.ranges_mut([range])?;
        Ok(bytes)
    }

    /// Returns several ranges for writing.
    ///
    /// # Errors
    /// The same as [`MemoryMut::range_mut`] for each of them, and an error if two overlap.
    pub fn ranges_mut<const N: usize>(
        &mut self,
        ranges: [Range<usize>; N],
    ) -> Result<[&mut [u8]; N], MemoryAccessError> {
        let size = self.bytes.len();
        let error = |range: &Range<usize>| MemoryAccessError { offset: range.start, len: range.len(), size };
        for range in &ranges {
            let bytes = self.bytes.get(range.clone()).ok_or_else(|| error(range))?;
            if let Some(owner) = &mut self.owner {
                owner.slot.make_writable(bytes.as_ptr(), bytes.len()).map_err(|_| error(range))?;
            }
        }
        let first = error(ranges.first().unwrap_or(&(0..0)));
        self.bytes.get_disjoint_mut(ranges).map_err(|_| first)
    }
}

impl Memory {
    /// Creates a memory for instances to import. It takes an instance slot.
    ///
    /// # Errors
    /// Returns an error if the type is invalid (its minimum is greater than its maximum, for
    /// example) or asks for more than 4 GiB, the store's limiter refuses it, or there is no memory
    /// for it.
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Self> {
        let store = &mut store.as_context_mut().0.inner;
        Ok(Self { instance: Definition::Memory(ty).instantiate(store)?, index: 0 })
    }

    /// Returns its type, with its current size as the minimum.
    ///
    /// # Panics
    /// Panics if the memory belongs to another store. So do all methods below.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        self.type_in(&store.as_context().0.inner)
    }

    /// Returns its size in pages, of 64 KiB unless its type says otherwise.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.ty(store).minimum
    }

    /// Returns how many bytes a page has: 65,536, or 1 if its type says so.
    pub fn page_size(&self, store: impl AsContext) -> u64 {
        self.ty(store).page_size()
    }

    /// Returns the binary logarithm of [`Memory::page_size`]: 16, or 0 if its type says so.
    pub fn page_size_log2(&self, store: impl AsContext) -> u8 {
        self.ty(store).page_size_log2()
    }

    /// Returns the address of its first byte, for reading. Dereferencing it is unsafe: it is valid
    /// for [`Memory::data_size`] bytes, as long as the store lives, while no Rust reference from
    /// [`Memory::data_mut`] exists and no other thread uses the store.
    ///
    /// Do not write through it: pages may be read-only, and what the host writes must be known to
    /// be undone. [`Memory::data_mut`], [`Memory::write`] and [`Memory::parts_mut`] see to that.
    pub fn data_ptr(&self, store: impl AsContext) -> *mut u8 {
        self.space(&store.as_context().0.inner).base
    }

    /// Returns its size in bytes.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        self.space(&store.as_context().0.inner).len() as usize
    }

    /// Returns its bytes.
    pub fn data<'a, T: 'a>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a [u8] {
        let space = self.space(&store.into().0.inner);
        // SAFETY: that many bytes are accessible, and nothing writes them while the store is
        // borrowed.
        unsafe { std::slice::from_raw_parts(space.base, space.len() as usize) }
    }

    /// Returns its bytes, for writing. [`Memory::write`] is cheaper for a few bytes.
    ///
    /// # Panics
    /// The same as [`Memory::data_and_store_mut`].
    pub fn data_mut<'a, T: 'a>(&self, store: impl Into<StoreContextMut<'a, T>>) -> &'a mut [u8] {
        self.data_and_store_mut(store).0
    }

    /// Returns its bytes for writing, and the embedder's data. The slice may be handed to anyone,
    /// so all of the memory is writable from now until the instance is reset. [`Memory::write`] is
    /// cheaper for a few bytes.
    ///
    /// # Panics
    /// Panics if the kernel does not make the memory writable (in practice, because it has no
    /// memory left).
    pub fn data_and_store_mut<'a, T: 'a>(&self, store: impl Into<StoreContextMut<'a, T>>) -> (&'a mut [u8], &'a mut T) {
        let store = store.into().0;
        store.inner.touched = true;
        let space = self.space(&store.inner);
        // SAFETY: the owner is alive, and the store is borrowed exclusively.
        let exposed = unsafe { InstanceData::of(space.owner) }.slot.make_all_writable();
        exposed.expect("a memory that was made read-only could not be made writable again");
        // SAFETY: that many bytes are accessible, and nobody else uses them while the store is
        // borrowed exclusively; the embedder's data is not among them.
        let bytes = unsafe { std::slice::from_raw_parts_mut(space.base, space.len() as usize) };
        (bytes, &mut store.data)
    }

    /// Returns its bytes for writing range by range, and the embedder's data.
    pub fn parts_mut<'a, T: 'a>(&self, store: impl Into<StoreContextMut<'a, T>>) -> (MemoryMut<'a>, &'a mut T) {
        let store = store.into().0;
        store.inner.touched = true;
        let space = self.space(&store.inner);
        // SAFETY: that many bytes are accessible, and nobody else uses them or their owner's
        // description while the store is borrowed exclusively. What is written goes through
        // `ranges_mut`, which makes it writable.
        let memory = unsafe {
            let bytes = std::slice::from_raw_parts_mut(space.base, space.len() as usize);
            MemoryMut { bytes, owner: Some(InstanceData::of(space.owner)) }
        };
        (memory, &mut store.data)
    }

    /// Copies bytes from `offset` on out of the memory, as many as `buffer` holds.
    ///
    /// # Errors
    /// Returns an error if the range is not inside the memory.
    pub fn read(&self, store: impl AsContext, offset: usize, buffer: &mut [u8]) -> Result<(), MemoryAccessError> {
        let context = store.as_context();
        let bytes = self.data(context);
        let range = inside(offset, buffer.len(), bytes.len())?;
        buffer.copy_from_slice(&bytes[range]);
        Ok(())
    }

    /// Copies bytes into the memory, from `offset` on.
    ///
    /// # Errors
    /// Returns an error if the range is not inside the memory, or if the kernel does not make it
    /// writable.
    pub fn write(&self, mut store: impl AsContextMut, offset: usize, buffer: &[u8]) -> Result<(), MemoryAccessError> {
        let store = &mut store.as_context_mut().0.inner;
        store.touched = true;
        let space = self.space(store);
        let range = inside(offset, buffer.len(), space.len() as usize)?;
        // SAFETY: the owner is alive, the store is borrowed exclusively, and the range is inside.
        unsafe { bulk::memory_write(space, range.start as u64, buffer) }.map_err(|_| MemoryAccessError {
            offset,
            len: buffer.len(),
            size: space.len() as usize,
        })
    }

    /// Returns where its pages are, in numbers of host pages.
    pub fn page_stats(&self, store: impl AsContext) -> PageStats {
        let space = self.space(&store.as_context().0.inner);
        // SAFETY: the owner is alive, and its description is only read while the store is borrowed.
        unsafe { InstanceData::shared(space.owner) }.slot.view().page_stats(true)
    }

    /// Adds `delta` pages of zeros, and returns how many pages there were.
    ///
    /// # Errors
    /// Returns an error if the memory's type, the store's limiter or the system does not allow that
    /// many.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<u64> {
        let store = &mut store.as_context_mut().0.inner;
        store.touched = true;
        let space = self.space(store);
        // SAFETY: the owner is alive, and the store is borrowed exclusively.
        unsafe { grow::memory_grow(store, space, delta) }?
            .ok_or_else(|| anyhow!("the memory of {} pages cannot grow by {delta}", self.type_in(store).minimum))
    }
}

fn inside(offset: usize, len: usize, size: usize) -> Result<std::ops::Range<usize>, MemoryAccessError> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(offset..end),
        _ => Err(MemoryAccessError { offset, len, size }),
    }
}

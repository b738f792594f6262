//! Linear memories in the embedder's hands.

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

/// An access that would leave the memory. Nothing was read or written.
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

/// A memory's bytes, to be read anywhere and written where it is asked for.
///
/// Unlike the slice of [`Memory::data_mut`], it need not be writable as a whole: only what is asked for is made
/// writable, if it is not. For an instance that is reset by its hot set, that makes writing a few bytes cheap.
pub struct MemoryMut<'a> {
    bytes: &'a mut [u8],
    /// The instance that owns them; `None` if they are nobody's.
    owner: Option<&'a mut InstanceData>,
}

impl fmt::Debug for MemoryMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryMut").field(&self.bytes.len()).finish()
    }
}

/// Bytes that are no instance's memory, for code that works on either.
impl<'a> From<&'a mut [u8]> for MemoryMut<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self { bytes, owner: None }
    }
}

impl MemoryMut<'_> {
    /// All bytes, for reading.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
    }

    /// A range, to be written by whoever, the kernel included.
    ///
    /// # Errors
    /// When it is not inside, or the kernel refuses to make it writable (in practice, when it has no memory left).
    pub fn range_mut(&mut self, range: Range<usize>) -> Result<&mut [u8], MemoryAccessError> {
        let [bytes] = self.ranges_mut([range])?;
        Ok(bytes)
    }

    /// Several ranges at once.
    ///
    /// # Errors
    /// When one is not inside, two overlap, or the kernel refuses to make them writable.
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
    /// A memory of the embedder's own, for instances to import. It takes an instance slot.
    ///
    /// # Errors
    /// When the type is not possible, the store's limiter refuses it, or there is no memory for it.
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Self> {
        let store = &mut store.as_context_mut().0.inner;
        Ok(Self { instance: Definition::Memory(ty).instantiate(store)?, index: 0 })
    }

    /// Its type, with its current size as the minimum.
    ///
    /// # Panics
    /// When the memory belongs to another store; so do all the following.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        self.type_in(&store.as_context().0.inner)
    }

    /// Its size in pages, of 64 KiB if its type does not say otherwise.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.ty(store).minimum
    }

    /// Bytes in one of its pages: 65,536, or 1 if its type says so.
    pub fn page_size(&self, store: impl AsContext) -> u64 {
        self.ty(store).page_size()
    }

    /// Its size in bytes.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        self.space(&store.as_context().0.inner).len() as usize
    }

    /// Its bytes.
    pub fn data<'a, T: 'a>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a [u8] {
        let space = self.space(&store.into().0.inner);
        // SAFETY: that many bytes are accessible, and nothing writes them while the store is borrowed.
        unsafe { std::slice::from_raw_parts(space.base, space.len() as usize) }
    }

    /// Its bytes.
    pub fn data_mut<'a, T: 'a>(&self, store: impl Into<StoreContextMut<'a, T>>) -> &'a mut [u8] {
        self.data_and_store_mut(store).0
    }

    /// Its bytes, and the embedder's data beside them. The slice may be handed to anyone, so all of the memory has to
    /// be writable until the instance is reset. [`Memory::write`] is cheaper for a few bytes.
    ///
    /// # Panics
    /// When the kernel refuses to make the memory writable (in practice, when it has no memory left).
    pub fn data_and_store_mut<'a, T: 'a>(&self, store: impl Into<StoreContextMut<'a, T>>) -> (&'a mut [u8], &'a mut T) {
        let store = store.into().0;
        store.inner.touched = true;
        let space = self.space(&store.inner);
        // SAFETY: the owner is alive, and the store is borrowed exclusively.
        let exposed = unsafe { InstanceData::of(space.owner) }.slot.make_all_writable();
        exposed.expect("a memory that was made read-only could not be made writable again");
        // SAFETY: that many bytes are accessible, and nobody else uses them while the store is borrowed exclusively;
        // the embedder's data is not among them.
        let bytes = unsafe { std::slice::from_raw_parts_mut(space.base, space.len() as usize) };
        (bytes, &mut store.data)
    }

    /// Its bytes to be written in part, and the embedder's data beside them.
    pub fn parts_mut<'a, T: 'a>(&self, store: impl Into<StoreContextMut<'a, T>>) -> (MemoryMut<'a>, &'a mut T) {
        let store = store.into().0;
        store.inner.touched = true;
        let space = self.space(&store.inner);
        // SAFETY: that many bytes are accessible, and nobody else uses them or their owner's description while the store
        // is borrowed exclusively. What is written goes through `ranges_mut`, which makes it writable.
        let memory = unsafe {
            let bytes = std::slice::from_raw_parts_mut(space.base, space.len() as usize);
            MemoryMut { bytes, owner: Some(InstanceData::of(space.owner)) }
        };
        (memory, &mut store.data)
    }

    /// Copies bytes out of it.
    ///
    /// # Errors
    /// When the range is not inside.
    pub fn read(&self, store: impl AsContext, offset: usize, buffer: &mut [u8]) -> Result<(), MemoryAccessError> {
        let context = store.as_context();
        let bytes = self.data(context);
        let range = inside(offset, buffer.len(), bytes.len())?;
        buffer.copy_from_slice(&bytes[range]);
        Ok(())
    }

    /// Copies bytes into it.
    ///
    /// # Errors
    /// When the range is not inside.
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

    /// Where its pages are, in numbers of host pages.
    pub fn page_stats(&self, store: impl AsContext) -> PageStats {
        let space = self.space(&store.as_context().0.inner);
        // SAFETY: the owner is alive, and its description is only read while the store is borrowed.
        unsafe { InstanceData::shared(space.owner) }.slot.page_stats(true)
    }

    /// Adds `delta` pages of zeros and says how many pages there were.
    ///
    /// # Errors
    /// When its type, the store's limiter, or the system, does not allow that many.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<u64> {
        let store = &mut store.as_context_mut().0.inner;
        store.touched = true;
        let space = self.space(store);
        // SAFETY: the owner is alive, and the store is borrowed exclusively.
        unsafe { grow::memory_grow(store, space, delta) }?
            .ok_or_else(|| anyhow!("the memory of {} pages can not grow by {delta}", self.type_in(store).minimum))
    }
}

fn inside(offset: usize, len: usize, size: usize) -> Result<std::ops::Range<usize>, MemoryAccessError> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(offset..end),
        _ => Err(MemoryAccessError { offset, len, size }),
    }
}

//! Defines limiters, which decide how much there may be in a store, and the usual one.
//!
//! Nothing here knows memories, tables or stores. [`Store::limiter`](crate::Store::limiter) puts a
//! limiter to use.

use anyhow::{Error, Result, bail};
use std::fmt;

/// The most instances, tables or memories of a store, unless its limiter says otherwise.
const DEFAULT_COUNT: usize = 10_000;

/// A limit that a store's limiter did not let something exceed. The error of what failed downcasts
/// to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitExceeded {
    /// There would be more of something than its limiter allows: of `"instance"`, `"table"` or
    /// `"memory"`.
    Count {
        /// The kind of thing.
        what: &'static str,
        /// How many there would be.
        count: usize,
        /// How many are allowed.
        most: usize,
    },
    /// A memory would start with this many pages.
    MemorySize(u64),
    /// A table would start with this many elements.
    TableSize(u64),
    /// The heap of a store would start with this many bytes.
    GcHeapSize(u64),
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { what, count, most } => {
                write!(f, "resource limit exceeded: {what} count too high at {count}, with at most {most}")
            }
            Self::MemorySize(pages) => write!(f, "memory minimum size of {pages} pages exceeds memory limits"),
            Self::TableSize(elements) => write!(f, "table minimum size of {elements} elements exceeds table limits"),
            Self::GcHeapSize(bytes) => {
                write!(f, "a heap of {bytes} bytes for a module's first objects exceeds heap limits")
            }
        }
    }
}

impl std::error::Error for LimitExceeded {}

/// Decides how far memories and tables may grow, and how many there may be in a store
/// ([`Store::limiter`](crate::Store::limiter)).
///
/// A store asks its limiter
/// - when code (`memory.grow`, `table.grow`) or the embedder grows a memory or table, except by
///   zero;
/// - about the initial size of each memory and table that an instance or the embedder defines.
///   Imported ones were asked about when they were defined;
/// - about the store's heap, for structures and arrays: before it has its first size, and when it
///   grows because a collection leaves too little room.
pub trait ResourceLimiter {
    /// Returns whether a memory of `current` bytes may grow to `desired` bytes. `current` is 0 for
    /// a new memory. `maximum` is what the memory's type allows, in bytes; growing beyond it fails
    /// whatever the answer is.
    ///
    /// After `Ok(false)`, `memory.grow` returns -1, [`Memory::grow`](crate::Memory::grow) returns
    /// an error, and an instantiation fails.
    ///
    /// # Errors
    /// An error stops the code that wanted to grow, like the error of a host function, and is what
    /// its caller gets.
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// Tells the limiter that a memory could not grow although
    /// [`memory_growing`](Self::memory_growing) allowed it: because of its type, of the limit of 4
    /// GiB, or of the system.
    ///
    /// # Errors
    /// The same as `memory_growing`. The default implementation returns `Ok`, and `memory.grow`
    /// returns -1.
    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        drop(error);
        Ok(())
    }

    /// Returns whether a table of `current` elements may grow to `desired` elements. `current` is 0
    /// for a new table. `maximum` is what the table's type allows, in elements. An element takes 8
    /// bytes.
    ///
    /// # Errors
    /// The same as [`memory_growing`](Self::memory_growing).
    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// Tells the limiter that a table could not grow although
    /// [`table_growing`](Self::table_growing) allowed it.
    ///
    /// # Errors
    /// The same as `table_growing`. The default implementation returns `Ok`, and `table.grow`
    /// returns -1.
    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        drop(error);
        Ok(())
    }

    /// Returns whether the heap for structures and arrays may grow from `current` to `desired`
    /// bytes. `current` is 0 for a new heap. The default implementation asks
    /// [`memory_growing`](Self::memory_growing), as wasmtime does.
    ///
    /// After `Ok(false)`, code collects and asks again, for less. If it still needs more than it
    /// has, it traps with [`Trap::GcHeapOutOfMemory`](crate::Trap::GcHeapOutOfMemory).
    ///
    /// # Errors
    /// An error stops the code that wanted to make an object, unless it is allowed the least that
    /// it needs, or a collection makes room.
    fn gc_heap_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.memory_growing(current, desired, maximum)
    }

    /// Returns how many instances may be made in the store. Default: 10,000.
    fn instances(&self) -> usize {
        DEFAULT_COUNT
    }

    /// Returns how many tables instances and the embedder may define in the store. Default: 10,000.
    fn tables(&self) -> usize {
        DEFAULT_COUNT
    }

    /// Returns how many memories instances and the embedder may define in the store. Default:
    /// 10,000.
    fn memories(&self) -> usize {
        DEFAULT_COUNT
    }
}

/// A limiter with fixed limits, made by a [`StoreLimitsBuilder`]. By default, it allows any size.
///
/// ```
/// use minirt::{Engine, Instance, Module, Store, StoreLimits, StoreLimitsBuilder};
///
/// # fn main() -> minirt::Result<()> {
/// let engine = Engine::default();
/// let limits: StoreLimits = StoreLimitsBuilder::new().memory_size(1 << 20).instances(2).build();
/// let mut store = Store::new(&engine, limits);
/// store.limiter(|limits| limits);
/// let large = Module::new(&engine, "(module (memory 17))")?;
/// assert!(Instance::new(&mut store, &large, &[]).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StoreLimits {
    memory_size: Option<usize>,
    table_elements: Option<usize>,
    gc_heap_size: Option<usize>,
    instances: usize,
    tables: usize,
    memories: usize,
    trap_on_grow_failure: bool,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            memory_size: None,
            table_elements: None,
            gc_heap_size: None,
            instances: DEFAULT_COUNT,
            tables: DEFAULT_COUNT,
            memories: DEFAULT_COUNT,
            trap_on_grow_failure: false,
        }
    }
}

/// Builds a [`StoreLimits`].
#[derive(Clone, Debug, Default)]
pub struct StoreLimitsBuilder(StoreLimits);

impl StoreLimitsBuilder {
    /// Returns a builder that allows any size, and 10,000 instances, tables and memories.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many bytes each memory may have. Default: what its type allows.
    #[must_use]
    pub fn memory_size(mut self, bytes: usize) -> Self {
        self.0.memory_size = Some(bytes);
        self
    }

    /// Sets how many elements each table may have. Default: what its type allows.
    #[must_use]
    pub fn table_elements(mut self, elements: usize) -> Self {
        self.0.table_elements = Some(elements);
        self
    }

    /// Sets how many bytes the store's heap may have, for structures and arrays. A collection takes
    /// as much again for a moment as there are live objects. Default: as many as each memory.
    #[must_use]
    pub fn gc_heap_size(mut self, bytes: usize) -> Self {
        self.0.gc_heap_size = Some(bytes);
        self
    }

    /// Sets how many instances may be made in the store. Default: 10,000.
    #[must_use]
    pub fn instances(mut self, most: usize) -> Self {
        self.0.instances = most;
        self
    }

    /// Sets how many tables instances and the embedder may define in the store. Default: 10,000.
    #[must_use]
    pub fn tables(mut self, most: usize) -> Self {
        self.0.tables = most;
        self
    }

    /// Sets how many memories instances and the embedder may define in the store. Default: 10,000.
    #[must_use]
    pub fn memories(mut self, most: usize) -> Self {
        self.0.memories = most;
        self
    }

    /// Sets whether code that cannot grow a memory or table traps, instead of getting -1. Default:
    /// `false`.
    #[must_use]
    pub fn trap_on_grow_failure(mut self, trap: bool) -> Self {
        self.0.trap_on_grow_failure = trap;
        self
    }

    /// Returns the limits.
    pub fn build(self) -> StoreLimits {
        self.0
    }
}

impl StoreLimits {
    fn decide(&self, what: &str, desired: usize, unit: &str, limit: Option<usize>, ty: Option<usize>) -> Result<bool> {
        let allowed = [limit, ty].into_iter().flatten().all(|most| desired <= most);
        if !allowed && self.trap_on_grow_failure {
            bail!("forcing trap when growing {what} to {desired} {unit}");
        }
        Ok(allowed)
    }

    fn failed(&self, what: &str, error: Error) -> Result<()> {
        if self.trap_on_grow_failure {
            return Err(error.context(format!("forcing a {what} growth failure to be a trap")));
        }
        Ok(())
    }
}

impl ResourceLimiter for StoreLimits {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.decide("memory", desired, "bytes", self.memory_size, maximum)
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed("memory", error)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.decide("table", desired, "elements", self.table_elements, maximum)
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed("table", error)
    }

    fn gc_heap_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.decide("the heap", desired, "bytes", self.gc_heap_size.or(self.memory_size), maximum)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}

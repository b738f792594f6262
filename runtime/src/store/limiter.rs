//! How much an embedder lets the instances of a store have: the question, and the usual answer.
//!
//! Nothing here knows what memories, tables or stores are: [`Store::limiter`](crate::Store::limiter) is where it is used.

use anyhow::{Error, Result, bail};

/// The most instances, tables and memories of a store, if its limiter does not say otherwise.
const DEFAULT_COUNT: usize = 10_000;

/// Decides how far memories and tables may grow, and how many there may be in a store
/// ([`Store::limiter`](crate::Store::limiter)).
///
/// It is asked when code grows a memory or table (`memory.grow`, `table.grow`), when the embedder does, and about the
/// first sizes of all memories and tables that an instance or the embedder defines. Imported ones are those of whoever
/// defines them, and were asked about then. Growing by nothing is never asked about.
pub trait ResourceLimiter {
    /// Whether a memory of `current` bytes may have `desired` bytes; `current` is 0 if it is about to be made.
    /// `maximum` is what its type allows, in bytes; what is beyond fails whatever the answer is.
    ///
    /// `Ok(false)` makes `memory.grow` return -1, [`Memory::grow`](crate::Memory::grow) an error, and an instantiation
    /// fail.
    ///
    /// # Errors
    /// An error stops the code that asked for more, as that of a host function does; its caller gets it.
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// A memory could not grow although [`memory_growing`](Self::memory_growing) allowed it: because of its type, of
    /// what is possible at all (4 GiB), or of the system.
    ///
    /// # Errors
    /// As `memory_growing`. By default there is none, and `memory.grow` returns -1.
    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        drop(error);
        Ok(())
    }

    /// Whether a table of `current` elements may have `desired` elements; `current` is 0 if it is about to be made.
    /// `maximum` is what its type allows, in elements. An element takes 8 bytes.
    ///
    /// # Errors
    /// As [`memory_growing`](Self::memory_growing).
    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// A table could not grow although [`table_growing`](Self::table_growing) allowed it.
    ///
    /// # Errors
    /// As `table_growing`. By default there is none, and `table.grow` returns -1.
    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        drop(error);
        Ok(())
    }

    /// The most instances that may be made in the store. Default: 10,000.
    fn instances(&self) -> usize {
        DEFAULT_COUNT
    }

    /// The most tables that may be defined in the store, by instances and by the embedder. Default: 10,000.
    fn tables(&self) -> usize {
        DEFAULT_COUNT
    }

    /// The most memories that may be defined in the store, by instances and by the embedder. Default: 10,000.
    fn memories(&self) -> usize {
        DEFAULT_COUNT
    }
}

/// A limiter with fixed numbers, made by a [`StoreLimitsBuilder`]. By default, it allows any size.
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
            instances: DEFAULT_COUNT,
            tables: DEFAULT_COUNT,
            memories: DEFAULT_COUNT,
            trap_on_grow_failure: false,
        }
    }
}

/// Says what a [`StoreLimits`] allows.
#[derive(Clone, Debug, Default)]
pub struct StoreLimitsBuilder(StoreLimits);

impl StoreLimitsBuilder {
    /// Any size, and 10,000 instances, tables and memories.
    pub fn new() -> Self {
        Self::default()
    }

    /// The most bytes that each memory may have. Default: what its type allows.
    #[must_use]
    pub fn memory_size(mut self, bytes: usize) -> Self {
        self.0.memory_size = Some(bytes);
        self
    }

    /// The most elements that each table may have. Default: what its type allows.
    #[must_use]
    pub fn table_elements(mut self, elements: usize) -> Self {
        self.0.table_elements = Some(elements);
        self
    }

    /// The most instances that may be made in the store. Default: 10,000.
    #[must_use]
    pub fn instances(mut self, most: usize) -> Self {
        self.0.instances = most;
        self
    }

    /// The most tables that may be defined in the store. Default: 10,000.
    #[must_use]
    pub fn tables(mut self, most: usize) -> Self {
        self.0.tables = most;
        self
    }

    /// The most memories that may be defined in the store. Default: 10,000.
    #[must_use]
    pub fn memories(mut self, most: usize) -> Self {
        self.0.memories = most;
        self
    }

    /// Whether code is stopped when it can not grow a memory or table, instead of being told so by -1. Default: no.
    #[must_use]
    pub fn trap_on_grow_failure(mut self, trap: bool) -> Self {
        self.0.trap_on_grow_failure = trap;
        self
    }

    /// The limits.
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

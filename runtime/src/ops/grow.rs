//! Where a store's limiter is asked: before instances are made, and before memories and tables grow.
//!
//! Without a limiter, this is one comparison for each.

use super::bulk;
use crate::pool::{InstanceData, Role};
use crate::store::ResourceLimiter;
use crate::store::{AsContextMut, Store, StoreData, StoreInner};
use crate::store::{AskLimiter, Counts};
use crate::vmctx::{MemorySpace, TableSpace};
use anyhow::{Result, anyhow, ensure};
use minirt_compiler::instance::layout::{MemoryPlace, TablePlace};
use minirt_compiler::module::MemoryType;
use std::ptr::NonNull;

impl Counts {
    fn of(data: &InstanceData) -> Self {
        let info = data.prototype.info();
        if data.role == Role::Memory {
            return Self::default();
        }
        Self {
            instances: usize::from(data.role == Role::Instance),
            tables: info.tables.len() - info.num_imported_tables as usize,
            memories: info.memories.len() - info.num_imported_memories as usize,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            instances: self.instances + other.instances,
            tables: self.tables + other.tables,
            memories: self.memories + other.memories,
        }
    }
}

/// What is asked for: a new size and the one before it, in bytes or elements, and what the type allows.
#[derive(Clone, Copy, Debug)]
struct Growth {
    current: u64,
    desired: u64,
    maximum: Option<u64>,
}

impl Growth {
    /// From here on, sizes are the host's.
    fn ask(self, grow: impl FnOnce(usize, usize, Option<usize>) -> Result<bool>) -> Result<bool> {
        let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        grow(size(self.current), size(self.desired), self.maximum.map(size))
    }
}

impl<T> Store<T> {
    /// Gives the store a limiter, which is found in the embedder's data and asked from now on. What there is already
    /// stays, and counts.
    ///
    /// It is asked on the thread that does what it is asked about; while code is running, it must not expect anything
    /// of the stack but what [`Config::max_wasm_stack`](crate::Config::max_wasm_stack) leaves to host functions. If it
    /// panics, the caller of that code gets the panic.
    pub fn limiter(&mut self, mut limiter: impl (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static)
    where
        T: 'static,
    {
        let ask: AskLimiter = Box::new(move |store, question| {
            // SAFETY: `StoreInner::ask` calls it with this store, of which nobody uses the data meanwhile. That it is a
            // `T` is known because the closure is put in a store of that type, and stays there.
            question(limiter(unsafe { &mut (*store.cast::<StoreData<T>>().as_ptr()).data }));
        });
        let store = &mut self.as_context_mut().0.inner;
        // SAFETY: the instances are the store's own, and so alive.
        let all = store.instances.iter().map(|instance| Counts::of(unsafe { instance.as_ref() }));
        let counts = all.fold(Counts::default(), Counts::plus);
        let control = store.control();
        (control.limiter, control.counts) = (Some(ask), counts);
    }
}

impl StoreInner {
    /// Asks the limiter, if there is one.
    fn ask<R>(&mut self, question: impl FnOnce(&mut dyn ResourceLimiter) -> R) -> Option<R> {
        let store = NonNull::from(&mut *self).cast();
        let (mut question, mut answer) = (Some(question), None);
        // It stays where it is, so that it is still there after a panic. It can not reach the store, only its data.
        self.control.as_mut()?.limiter.as_mut()?(store, &mut |limiter| {
            answer = question.take().map(|question| question(limiter));
        });
        answer
    }

    /// Whether an instance that is about to be made, of what is in `data`, may be. If there is a limiter, it is counted.
    ///
    /// # Errors
    /// When there would be too many of something, when a size is refused, and with the limiter's own.
    #[inline]
    pub(crate) fn admit(&mut self, data: &InstanceData) -> Result<()> {
        if self.control.is_some() { self.check(data) } else { Ok(()) }
    }

    fn is_limited(&self) -> bool {
        self.control.as_ref().is_some_and(|control| control.limiter.is_some())
    }

    #[cold]
    fn check(&mut self, data: &InstanceData) -> Result<()> {
        let most = |limiter: &mut dyn ResourceLimiter| Counts {
            instances: limiter.instances(),
            tables: limiter.tables(),
            memories: limiter.memories(),
        };
        let Some(most) = self.ask(most) else { return Ok(()) };
        let counts = self.control().counts.plus(Counts::of(data));
        for (what, count, most) in [
            ("instance", counts.instances, most.instances),
            ("table", counts.tables, most.tables),
            ("memory", counts.memories, most.memories),
        ] {
            ensure!(count <= most, "resource limit exceeded: {what} count too high at {count}, with at most {most}");
        }
        self.check_first_sizes(data)?;
        self.control().counts = counts;
        Ok(())
    }

    /// Of what is in the slot itself, as the image has it: a snapshot's memory may have grown.
    fn check_first_sizes(&mut self, data: &InstanceData) -> Result<()> {
        let view = data.view();
        for (index, ty) in view.module.memories.iter().enumerate() {
            let MemoryPlace::Slot { size } = view.layout.memory(index as u32) else { continue };
            // SAFETY: the slot is bound to the image, and the size is part of the state.
            let desired = unsafe { *view.vmctx.at::<u64>(size) };
            let allowed = self.memory_growing(Growth { current: 0, desired, maximum: in_bytes(ty) })?;
            let pages = desired / ty.page_size();
            ensure!(allowed, "memory minimum size of {pages} pages exceeds memory limits");
        }
        for (index, ty) in view.module.tables.iter().enumerate() {
            let TablePlace::State { size, .. } = view.layout.table(index as u32) else { continue };
            // SAFETY: as above.
            let desired = unsafe { *view.vmctx.at::<u64>(size) };
            let allowed = self.table_growing(Growth { current: 0, desired, maximum: ty.maximum })?;
            ensure!(allowed, "table minimum size of {desired} elements exceeds table limits");
        }
        Ok(())
    }

    fn memory_growing(&mut self, growth: Growth) -> Result<bool> {
        self.ask(|limiter| growth.ask(|now, then, most| limiter.memory_growing(now, then, most))).unwrap_or(Ok(true))
    }

    fn table_growing(&mut self, growth: Growth) -> Result<bool> {
        self.ask(|limiter| growth.ask(|now, then, most| limiter.table_growing(now, then, most))).unwrap_or(Ok(true))
    }
}

/// The most bytes that a type allows.
fn in_bytes(ty: &MemoryType) -> Option<u64> {
    ty.maximum.map(|pages| pages.saturating_mul(ty.page_size()))
}

/// Grows a memory by `delta` pages and says how many it had; `None` if it cannot grow that far.
///
/// # Errors
/// Those of the limiter.
///
/// # Safety
/// As for [`bulk::memory_grow`]; the memory must be of this store.
pub(crate) unsafe fn memory_grow(store: &mut StoreInner, memory: MemorySpace, delta: u64) -> Result<Option<u64>> {
    let limited = store.is_limited() && delta > 0;
    // SAFETY: the caller's promise.
    let ty = unsafe { InstanceData::shared(memory.owner) }.prototype.info().memories[memory.index as usize];
    if limited {
        let current = memory.len();
        let desired = current.saturating_add(delta.saturating_mul(ty.page_size()));
        if !store.memory_growing(Growth { current, desired, maximum: in_bytes(&ty) })? {
            return Ok(None);
        }
    }
    // SAFETY: the caller's promise.
    let before = unsafe { bulk::memory_grow(memory, delta) };
    if limited && before.is_none() {
        let error = anyhow!("a memory of {} pages can not grow by {delta}", memory.len() / ty.page_size());
        store.ask(|limiter| limiter.memory_grow_failed(error)).unwrap_or(Ok(()))?;
    }
    Ok(before)
}

/// Grows a table by `delta` elements of `value` and says how many it had; `None` if it cannot grow that far.
///
/// # Errors
/// Those of the limiter.
///
/// # Safety
/// As for [`bulk::table_grow`]; the table must be of this store.
pub(crate) unsafe fn table_grow(
    store: &mut StoreInner,
    table: TableSpace,
    value: u64,
    delta: u64,
) -> Result<Option<u64>> {
    let limited = store.is_limited() && delta > 0;
    if limited {
        // SAFETY: the caller's promise.
        let maximum =
            unsafe { InstanceData::shared(table.owner) }.prototype.info().tables[table.index as usize].maximum;
        let current = table.len();
        if !store.table_growing(Growth { current, desired: current.saturating_add(delta), maximum })? {
            return Ok(None);
        }
    }
    // SAFETY: the caller's promise.
    let before = unsafe { bulk::table_grow(table, value, delta) };
    if limited && before.is_none() {
        let error = anyhow!("a table of {} elements can not grow by {delta}", table.len());
        store.ask(|limiter| limiter.table_grow_failed(error)).unwrap_or(Ok(()))?;
    }
    Ok(before)
}

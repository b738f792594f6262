//! Asks a store's limiter before instances are made, and before memories and tables grow.
//!
//! Without a limiter, this is one comparison for each.

use super::context::AsContextMut;
use super::extras::{Counts, LimiterCallback};
use super::limiter::{LimitExceeded, ResourceLimiter};
use super::store::{Store, StoreData, StoreInner};
use crate::pool::{InstanceData, Role, Taken};
use anyhow::{Error, Result, ensure};
use minirt_compiler::instance::layout::{MemoryPlace, TablePlace};
use minirt_compiler::module::{MemoryType, TableType};
use std::ptr::NonNull;

impl Counts {
    fn of(data: &InstanceData) -> Self {
        let info = data.prototype.info();
        if matches!(data.role, Role::Memory | Role::Heap) {
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

/// A size and the one that it is to become, in bytes or elements, and what the type allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) current: u64,
    pub(crate) desired: u64,
    pub(crate) maximum: Option<u64>,
}

impl Growth {
    /// Asks a limiter, for which sizes are the host's.
    fn ask(self, question: impl FnOnce(usize, usize, Option<usize>) -> Result<bool>) -> Result<bool> {
        let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        question(size(self.current), size(self.desired), self.maximum.map(size))
    }
}

impl<T> Store<T> {
    /// Gives the store a limiter. `limiter` finds it in the embedder's data. Instances, memories
    /// and tables that the store already has stay, and count.
    ///
    /// The limiter is asked on the thread that makes or grows something. While code runs, it has
    /// the stack that [`Config::max_wasm_stack`](crate::Config::max_wasm_stack) leaves to host
    /// functions. If it panics, the caller of the code gets the panic.
    pub fn limiter(&mut self, mut limiter: impl (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static)
    where
        T: 'static,
    {
        let callback: LimiterCallback = Box::new(move |store, question| {
            // SAFETY: `StoreInner::ask` calls it with this store, of which nobody uses the data
            // meanwhile. That it is a `T` is known because the closure is put in a store of that
            // type, and stays there.
            question(limiter(unsafe { &mut (*store.cast::<StoreData<T>>().as_ptr()).data }));
        });
        let store = &mut self.as_context_mut().0.inner;
        // SAFETY: the instances are the store's own, and so alive.
        let all = store.instances.iter().map(|instance| Counts::of(unsafe { instance.as_ref() }));
        let counts = all.fold(Counts::default(), Counts::plus);
        let extras = store.extras();
        (extras.limiter, extras.counts) = (Some(callback), counts);
    }
}

impl StoreInner {
    /// Asks the limiter, if there is one.
    fn ask<R>(&mut self, question: impl FnOnce(&mut dyn ResourceLimiter) -> R) -> Option<R> {
        let store = NonNull::from(&mut *self).cast();
        let (mut question, mut answer) = (Some(question), None);
        // It stays where it is, so that it is still there after a panic. It cannot reach the store,
        // only its data.
        self.extras.as_mut()?.limiter.as_mut()?(store, &mut |limiter| {
            answer = question.take().map(|question| question(limiter));
        });
        answer
    }

    /// Checks that a new instance may be made, of what is in `data` and in `others`, which has its
    /// further memories and its heap. If there is a limiter, counts it.
    ///
    /// # Errors
    /// Returns an error if there would be too many of something, when a size is refused, and with
    /// the limiter's own.
    #[inline]
    pub(crate) fn check_quota(&mut self, data: &InstanceData, others: &[Taken<'_>]) -> Result<()> {
        if self.extras.is_some() { self.ask_about_instance(data, others) } else { Ok(()) }
    }

    pub(crate) fn has_limiter(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.limiter.is_some())
    }

    #[cold]
    fn ask_about_instance(&mut self, data: &InstanceData, others: &[Taken<'_>]) -> Result<()> {
        let most = |limiter: &mut dyn ResourceLimiter| Counts {
            instances: limiter.instances(),
            tables: limiter.tables(),
            memories: limiter.memories(),
        };
        let Some(most) = self.ask(most) else { return Ok(()) };
        let counts = self.extras().counts.plus(Counts::of(data));
        for (what, count, most) in [
            ("instance", counts.instances, most.instances),
            ("table", counts.tables, most.tables),
            ("memory", counts.memories, most.memories),
        ] {
            ensure!(count <= most, LimitExceeded::Count { what, count, most });
        }
        self.ask_about_first_sizes(data)?;
        others.iter().try_for_each(|other| self.ask_about_first_sizes(other))?;
        self.extras().counts = counts;
        Ok(())
    }

    /// Asks about the sizes in the slot, which are the image's: a snapshot's memory may have grown.
    fn ask_about_first_sizes(&mut self, data: &InstanceData) -> Result<()> {
        let view = data.view();
        for (index, ty) in view.module.memories.iter().enumerate() {
            let MemoryPlace::Slot { size } = view.layout.memory(index as u32) else { continue };
            // SAFETY: the slot is bound to the image, and the size is part of the state.
            let desired = unsafe { *view.vmctx.at::<u64>(size) };
            match data.role {
                Role::Heap => self.ask_about_new_heap(ty, desired)?,
                Role::Instance | Role::Definition | Role::Memory => self.ask_about_new_memory(ty, desired)?,
            }
        }
        for (index, ty) in view.module.tables.iter().enumerate() {
            let TablePlace::State { size, .. } = view.layout.table(index as u32) else { continue };
            // SAFETY: as above.
            let desired = unsafe { *view.vmctx.at::<u64>(size) };
            self.ask_about_new_table(ty, desired)?;
        }
        Ok(())
    }

    /// Asks about a memory that is to have `desired` bytes.
    ///
    /// # Errors
    /// Returns an error if the limiter refuses, or the limiter's own.
    pub(crate) fn ask_about_new_memory(&mut self, ty: &MemoryType, desired: u64) -> Result<()> {
        let allowed = self.ask_memory_growing(Growth { current: 0, desired, maximum: maximum_bytes(ty) })?;
        ensure!(allowed, LimitExceeded::MemorySize(desired / ty.page_size()));
        Ok(())
    }

    /// Asks about a heap that is to have `desired` bytes.
    fn ask_about_new_heap(&mut self, ty: &MemoryType, desired: u64) -> Result<()> {
        let allowed = self.ask_gc_heap_growing(Growth { current: 0, desired, maximum: maximum_bytes(ty) })?;
        ensure!(allowed, LimitExceeded::GcHeapSize(desired));
        Ok(())
    }

    /// Asks about a table that is to have `desired` elements.
    ///
    /// # Errors
    /// Returns an error if the limiter refuses, or the limiter's own.
    pub(crate) fn ask_about_new_table(&mut self, ty: &TableType, desired: u64) -> Result<()> {
        let allowed = self.ask_table_growing(Growth { current: 0, desired, maximum: ty.maximum })?;
        ensure!(allowed, LimitExceeded::TableSize(desired));
        Ok(())
    }

    /// Asks the limiter whether a memory may grow. Sizes are in bytes.
    pub(crate) fn ask_memory_growing(&mut self, growth: Growth) -> Result<bool> {
        self.ask(|limiter| growth.ask(|now, then, most| limiter.memory_growing(now, then, most))).unwrap_or(Ok(true))
    }

    /// Asks the limiter whether the store's heap may grow. Sizes are in bytes.
    pub(crate) fn ask_gc_heap_growing(&mut self, growth: Growth) -> Result<bool> {
        self.ask(|limiter| growth.ask(|now, then, most| limiter.gc_heap_growing(now, then, most))).unwrap_or(Ok(true))
    }

    /// Asks the limiter whether a table may grow. Sizes are in elements.
    pub(crate) fn ask_table_growing(&mut self, growth: Growth) -> Result<bool> {
        self.ask(|limiter| growth.ask(|now, then, most| limiter.table_growing(now, then, most))).unwrap_or(Ok(true))
    }

    /// Tells the limiter that a memory could not grow although it allowed that.
    pub(crate) fn tell_memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.ask(|limiter| limiter.memory_grow_failed(error)).unwrap_or(Ok(()))
    }

    /// Tells the limiter that a table could not grow although it allowed that.
    pub(crate) fn tell_table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.ask(|limiter| limiter.table_grow_failed(error)).unwrap_or(Ok(()))
    }
}

/// Returns the most bytes that a memory's type allows.
pub(crate) fn maximum_bytes(ty: &MemoryType) -> Option<u64> {
    ty.maximum.map(|pages| pages.saturating_mul(ty.page_size()))
}

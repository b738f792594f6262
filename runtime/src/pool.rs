//! Slots that wait for their next instance.
//!
//! Pooling is not a mode: every slot comes from here and returns here. A slot that already carries the
//! wanted image is preferred, the one used last first, because its pages are the warmest. Slots are
//! made on demand, up to a limit.
//!
//! Knows nothing of what an image or an instance contains.

use crate::cow::{Image, Slot};
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All idle slots of an engine.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Clean slots by the image they carry (its address; a slot keeps its image alive).
    bound: HashMap<*const Image, Vec<Slot>>,
    /// Slots that carry no image.
    blank: Vec<Slot>,
    /// Slots that exist, idle or in use.
    total: usize,
}

// SAFETY: the raw pointers are keys that are only compared; everything else in `State` is Send.
unsafe impl Send for State {}

impl Pool {
    /// A pool that never has more than `limit` slots.
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock can not leave the lists in disorder: every change is a single push or pop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A clean slot that carries `image`.
    ///
    /// # Errors
    /// When all slots are in use, or the kernel gives no memory for another.
    pub(crate) fn take(&self, image: &Arc<Image>) -> Result<Slot> {
        let mut slot = self.pick(image)?;
        if let Err(error) = slot.bind(image) {
            self.put(slot);
            return Err(error).context("could not map a module's image into an instance slot");
        }
        Ok(slot)
    }

    fn pick(&self, image: &Arc<Image>) -> Result<Slot> {
        let mut state = self.lock();
        let warm = state.bound.get_mut(&Arc::as_ptr(image)).and_then(Vec::pop);
        if let Some(slot) = warm.or_else(|| state.blank.pop()) {
            return Ok(slot);
        }
        if state.total < self.limit {
            state.total += 1;
            drop(state);
            return Slot::new().map_err(|error| self.forget_one(error.into()));
        }
        // All exist: take over one that is idle with another module's image.
        let Some(slot) = state.bound.values_mut().find_map(Vec::pop) else {
            bail!("all {} instance slots are in use; drop stores that are no longer needed", self.limit);
        };
        Ok(slot)
    }

    fn forget_one(&self, error: anyhow::Error) -> anyhow::Error {
        self.lock().total -= 1;
        error.context("could not reserve address space for an instance slot (7 GiB of virtual memory each)")
    }

    /// Takes a slot back after its instance has died.
    pub(crate) fn put(&self, mut slot: Slot) {
        if slot.reset().is_err() && slot.wipe().is_err() {
            // Nobody knows what is mapped there. Dropping it gives the address space back.
            drop(slot);
            self.lock().total -= 1;
            return;
        }
        let mut state = self.lock();
        match slot.image().map(Arc::as_ptr) {
            Some(image) => state.bound.entry(image).or_default().push(slot),
            None => state.blank.push(slot),
        }
    }

    /// Makes all slots blank that carry `image`, so that nothing of it stays mapped.
    pub(crate) fn purge(&self, image: &Arc<Image>) {
        let Some(slots) = self.lock().bound.remove(&Arc::as_ptr(image)) else { return };
        for mut slot in slots {
            if slot.wipe().is_ok() {
                self.lock().blank.push(slot);
            } else {
                self.lock().total -= 1;
            }
        }
    }
}

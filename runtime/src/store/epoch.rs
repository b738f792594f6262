//! Epochs: a deadline for a store's code, in ticks of its engine.
//!
//! Code compares the engine's epoch with its deadline by itself (`layout::allowance`). Here, the embedder sets the deadline
//! and says what happens when it has passed.

use super::context::{AsContextMut, StoreContextMut};
use super::extras::{DeadlineCallback, OnDeadline, UpdateDeadline};
use super::store::{Failure, Store, StoreData, StoreInner};
use anyhow::Result;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

impl StoreInner {
    fn set_deadline(&mut self, ticks: u64) {
        let now = self.engine.epoch().load(Relaxed);
        self.allowance.get_mut().epoch_deadline = now.saturating_add(ticks);
    }
}

/// Returns whether code whose epoch deadline has passed continues. If not, a failure may have been left in the store.
///
/// # Safety
/// `store` must be the store of the code, which is used by nobody else meanwhile.
pub(crate) unsafe fn may_continue(mut store: NonNull<StoreInner>) -> bool {
    // SAFETY: the caller's promise.
    let extras = unsafe { store.as_mut() }.extras();
    let mut callback = match std::mem::replace(&mut extras.on_deadline, OnDeadline::Calling) {
        OnDeadline::Call(callback) => callback,
        // Code that the callback runs does not get another one.
        other => {
            extras.on_deadline = other;
            return false;
        }
    };
    let answer = Failure::catch(|| callback(store.cast()));
    // SAFETY: as above; the callback has returned.
    let inner = unsafe { store.as_mut() };
    if matches!(inner.extras().on_deadline, OnDeadline::Calling) {
        inner.extras().on_deadline = OnDeadline::Call(callback);
    }
    match answer {
        Ok(UpdateDeadline::Continue(ticks)) => {
            inner.set_deadline(ticks);
            return true;
        }
        Ok(UpdateDeadline::Interrupt) => {}
        Err(failure) => inner.failure = Some(failure),
    }
    false
}

impl<T> Store<T> {
    /// Sets the deadline of this store's code to `ticks_beyond_current` ticks from the engine's epoch now. When that many
    /// calls of [`Engine::increment_epoch`](crate::Engine::increment_epoch) have happened, code stops at the next loop or
    /// function; a single instruction that works on many bytes is not interrupted. What happens then is for
    /// [`Store::epoch_deadline_trap`] or [`Store::epoch_deadline_callback`] to say.
    ///
    /// The deadline of a new store is epoch 0, which has always passed: where epochs are configured, set one before the
    /// first call. Where they are not ([`Config::epoch_interruption`](crate::Config::epoch_interruption)), it has no
    /// effect.
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Config, Engine, Instance, Module, Store, Trap};
    /// # use std::time::Duration;
    /// let engine = Engine::new(Config::new().epoch_interruption(true))?;
    /// let module = Module::new(&engine, r#"(module (func (export "forever") (loop $l (br $l))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_epoch_deadline(1);
    /// let clock = engine.clone();
    /// std::thread::spawn(move || {
    ///     std::thread::sleep(Duration::from_millis(5));
    ///     clock.increment_epoch();
    /// });
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let error = instance.get_typed_func::<(), ()>(&store, "forever")?.call(&mut store, ()).unwrap_err();
    /// assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt));
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.as_context_mut().set_epoch_deadline(ticks_beyond_current);
    }

    /// At a deadline, code traps with [`Trap::Interrupt`](crate::Trap::Interrupt). This is the default. The deadline stays
    /// as it is: before the next call, set another.
    pub fn epoch_deadline_trap(&mut self) {
        self.as_context_mut().epoch_deadline_trap();
    }

    /// At a deadline, `callback` is called, on the thread of the code, and says whether to go on. If it returns an error,
    /// the code stops and its caller gets that error; if it panics, its caller gets the panic.
    ///
    /// While it runs, other code of the store that meets a deadline traps.
    pub fn epoch_deadline_callback(
        &mut self,
        mut callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static,
    ) where
        T: 'static,
    {
        let callback: DeadlineCallback = Box::new(move |store| {
            // SAFETY: `may_continue` calls it with this store, which nobody else uses meanwhile. That its data is a `T` is
            // known because the closure is put in a store of that type, and stays there.
            callback(StoreContextMut(unsafe { store.cast::<StoreData<T>>().as_mut() }))
        });
        self.as_context_mut().0.inner.extras().on_deadline = OnDeadline::Call(callback);
    }
}

impl<T> StoreContextMut<'_, T> {
    /// As [`Store::set_epoch_deadline`].
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.0.inner.set_deadline(ticks_beyond_current);
    }

    /// As [`Store::epoch_deadline_trap`].
    pub fn epoch_deadline_trap(&mut self) {
        self.0.inner.extras().on_deadline = OnDeadline::Trap;
    }
}

//! Sets deadlines for a store's code, in ticks of its engine, and decides what happens at one.
//!
//! Code compares the engine's epoch with its deadline by itself (`layout::allowance`). Here, the
//! embedder sets the deadline and says what happens when it has passed.

use super::context::{AsContextMut, StoreContextMut};
use super::extras::{DeadlineCallback, OnDeadline, UpdateDeadline};
use super::store::{Failure, Store, StoreData, StoreInner};
use anyhow::Result;
use minirt_compiler::Trap;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

impl StoreInner {
    fn set_deadline(&mut self, ticks: u64) {
        let now = self.engine.epoch().load(Relaxed);
        self.allowance.get_mut().epoch_deadline = now.saturating_add(ticks);
    }
}

/// Returns whether code whose epoch deadline has passed continues. If not, a failure may have been
/// left in the store.
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
    let replaced = if matches!(inner.extras().on_deadline, OnDeadline::Calling) {
        inner.extras().on_deadline = OnDeadline::Call(callback);
        Ok(())
    } else {
        // The callback's captures are the embedder's too, and may panic when they are dropped.
        Failure::catch(|| {
            drop(callback);
            Ok(())
        })
    };
    let answer = match answer {
        Ok(answer) => replaced.map(|()| answer),
        Err(failure) => {
            // One failure is all that can be reported. Dropping the other one might fail again.
            let _ = replaced.map_err(std::mem::forget);
            Err(failure)
        }
    };
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

/// Does what compiled code does in loops, for the host.
///
/// # Errors
/// Returns an error if the code is not to continue.
pub(crate) fn check_deadline(store: &mut StoreInner) -> Result<()> {
    let now = store.engine.epoch().load(Relaxed);
    // SAFETY: the reference is exclusive, and so the callback is the only one who uses the store
    // meanwhile.
    if now < store.allowance.get_mut().epoch_deadline || unsafe { may_continue(NonNull::from(&mut *store)) } {
        return Ok(());
    }
    match store.failure.take() {
        None => Err(Trap::Interrupt.into()),
        Some(Failure::Error(error)) => Err(error),
        Some(Failure::Panic(payload)) => std::panic::resume_unwind(payload),
    }
}

impl<T> Store<T> {
    /// Sets the deadline of this store's code to `ticks_beyond_current` ticks after the engine's
    /// current epoch.
    ///
    /// After that many calls of [`Engine::increment_epoch`](crate::Engine::increment_epoch), code
    /// stops at the next loop or function. A single instruction that works on many bytes is not
    /// interrupted. [`Store::epoch_deadline_trap`] and [`Store::epoch_deadline_callback`] choose
    /// what happens then.
    ///
    /// The deadline of a new store has passed already: set one before the first call. Without
    /// [`Config::epoch_interruption`](crate::Config::epoch_interruption), deadlines have no effect.
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

    /// Makes code trap with [`Trap::Interrupt`](crate::Trap::Interrupt) at its deadline. This is
    /// the default. The deadline stays in the past: set another before the next call.
    pub fn epoch_deadline_trap(&mut self) {
        self.as_context_mut().epoch_deadline_trap();
    }

    /// Makes code call `callback` at its deadline, on its own thread. The answer says whether the
    /// code continues. If the callback returns an error, the code stops, and its caller gets the
    /// error. If it panics, the caller gets the panic.
    ///
    /// While the callback runs, other code of the store that meets its deadline traps.
    pub fn epoch_deadline_callback(
        &mut self,
        mut callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static,
    ) where
        T: 'static,
    {
        let callback: DeadlineCallback = Box::new(move |store| {
            // SAFETY: `may_continue` calls it with this store, which nobody else uses meanwhile.
            // That its data is a `T` is known because the closure is put in a store of that type,
            // and stays there.
            callback(StoreContextMut(unsafe { store.cast::<StoreData<T>>().as_mut() }))
        });
        self.as_context_mut().0.inner.extras().on_deadline = OnDeadline::Call(callback);
    }
}

impl<T> StoreContextMut<'_, T> {
    /// Sets the deadline of the store's code: [`Store::set_epoch_deadline`].
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.0.inner.set_deadline(ticks_beyond_current);
    }

    /// Makes the store's code trap at its deadline: [`Store::epoch_deadline_trap`].
    pub fn epoch_deadline_trap(&mut self) {
        self.0.inner.extras().on_deadline = OnDeadline::Trap;
    }
}

//! How long a store's code may run: its fuel and its epoch deadline.
//!
//! Code counts fuel down by itself, and looks at the epoch by itself (`layout::allowance`). What is here is what the
//! embedder says and asks beforehand and afterwards, and what happens at a deadline.

use super::quota::{AskDeadline, OnDeadline, UpdateDeadline};
use super::store::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut, StoreData};
use super::store::{Failure, StoreInner};
use anyhow::{Result, ensure};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

impl StoreInner {
    fn fuel(&self) -> Result<u64> {
        ensure!(self.engine.metering().fuel, "fuel is not configured in this store; see `Config::consume_fuel`");
        // SAFETY: code writes it, and no code runs on this thread while Rust has the store.
        let left = unsafe { (*self.allowance.get()).fuel };
        let reserve = self.control.as_ref().map_or(0, |control| control.fuel_reserve);
        Ok(reserve + left.max(0).cast_unsigned())
    }

    fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        ensure!(self.engine.metering().fuel, "fuel is not configured in this store; see `Config::consume_fuel`");
        // No code has ever executed 2^63 instructions. What is beyond is remembered, but never needed.
        let most = i64::MAX.cast_unsigned();
        if fuel > most || self.control.is_some() {
            self.control().fuel_reserve = fuel.saturating_sub(most);
        }
        self.allowance.get_mut().fuel = fuel.min(most).cast_signed();
        Ok(())
    }

    fn set_deadline(&mut self, ticks: u64) {
        let now = self.engine.epoch().load(Relaxed);
        self.allowance.get_mut().epoch_deadline = now.saturating_add(ticks);
    }
}

/// What happens when code has found that its epoch deadline has passed, and whether it goes on. If not, a failure may
/// have been left in the store.
///
/// # Safety
/// `store` must be the store of the code, which is used by nobody else meanwhile.
pub(crate) unsafe fn goes_on(mut store: NonNull<StoreInner>) -> bool {
    // SAFETY: the caller's promise.
    let control = unsafe { store.as_mut() }.control();
    let mut ask = match std::mem::replace(&mut control.on_deadline, OnDeadline::Asking) {
        OnDeadline::Ask(ask) => ask,
        // Code that the closure runs does not get another one.
        other => {
            control.on_deadline = other;
            return false;
        }
    };
    let answer = Failure::catch(|| ask(store.cast()));
    // SAFETY: as above; the closure has returned.
    let inner = unsafe { store.as_mut() };
    if matches!(inner.control().on_deadline, OnDeadline::Asking) {
        inner.control().on_deadline = OnDeadline::Ask(ask);
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
    /// What is left of the store's fuel, in units; 0 after [`Trap::OutOfFuel`](crate::Trap::OutOfFuel). It is exact
    /// whenever it can be asked for: after a call that returned or trapped, and in host functions.
    ///
    /// # Errors
    /// When the engine was not configured to consume fuel ([`Config::consume_fuel`](crate::Config::consume_fuel)).
    pub fn get_fuel(&self) -> Result<u64> {
        self.as_context().get_fuel()
    }

    /// Sets the fuel that all code of this store runs on, in units. A new store has none.
    ///
    /// An instruction costs one unit. Those that only give others a structure cost nothing: `nop`, `drop`, `block`,
    /// `loop`, `else`, `end`, `return` and `unreachable`. Entering a function costs one. Filling, copying and initialising
    /// memory costs one more for every eight bytes, and tables one for every element, as does growing a table; except
    /// that filling and copying memory by up to 64 bytes costs nothing more where the length is a constant.
    ///
    /// Code pays for a stretch of instructions when it begins: up to the next branch or call, or the end of a block. If
    /// an instruction traps, the rest of its stretch has been paid for. Whether there was enough is found out at the
    /// start of functions and loops and at instructions that work on many bytes or elements, so a few instructions too
    /// many may be executed. All that is the same in every run, whatever the optimisation level.
    ///
    /// The host's work (host functions, instantiation, [`Memory::write`](crate::Memory::write), ...) costs nothing.
    ///
    /// # Errors
    /// As [`Store::get_fuel`].
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Config, Engine, Instance, Module, Store, Trap};
    /// let engine = Engine::new(Config::new().consume_fuel(true))?;
    /// let module = Module::new(&engine, r#"(module (func (export "forever") (loop $l (br $l))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_fuel(10_000)?;
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let error = instance.get_typed_func::<(), ()>(&store, "forever")?.call(&mut store, ()).unwrap_err();
    /// assert_eq!((error.downcast_ref(), store.get_fuel()?), (Some(&Trap::OutOfFuel), 0));
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.as_context_mut().set_fuel(fuel)
    }

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
        let ask: AskDeadline = Box::new(move |store| {
            // SAFETY: `goes_on` calls it with this store, which nobody else uses meanwhile. That its data is a `T` is
            // known because the closure is put in a store of that type, and stays there.
            callback(StoreContextMut(unsafe { store.cast::<StoreData<T>>().as_mut() }))
        });
        self.as_context_mut().0.inner.control().on_deadline = OnDeadline::Ask(ask);
    }
}

impl<T> StoreContext<'_, T> {
    /// As [`Store::get_fuel`].
    ///
    /// # Errors
    /// As [`Store::get_fuel`].
    pub fn get_fuel(&self) -> Result<u64> {
        self.0.inner.fuel()
    }
}

impl<T> StoreContextMut<'_, T> {
    /// As [`Store::get_fuel`].
    ///
    /// # Errors
    /// As [`Store::get_fuel`].
    pub fn get_fuel(&self) -> Result<u64> {
        self.0.inner.fuel()
    }

    /// As [`Store::set_fuel`]. In a host function, it is what the caller goes on with.
    ///
    /// # Errors
    /// As [`Store::get_fuel`].
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.0.inner.set_fuel(fuel)
    }

    /// As [`Store::set_epoch_deadline`].
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.0.inner.set_deadline(ticks_beyond_current);
    }

    /// As [`Store::epoch_deadline_trap`].
    pub fn epoch_deadline_trap(&mut self) {
        self.0.inner.control().on_deadline = OnDeadline::Trap;
    }
}

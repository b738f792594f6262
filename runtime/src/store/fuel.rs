//! Sets and reads fuel: how many instructions a store's code may execute.
//!
//! Code counts its fuel down by itself (`layout::allowance`). Here, the embedder sets it and asks
//! what is left.

use super::context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
use super::store::{Store, StoreInner};
use anyhow::{Result, ensure};

impl StoreInner {
    fn fuel(&self) -> Result<u64> {
        ensure!(self.engine.metering().fuel, "fuel is not configured in this store; see `Config::consume_fuel`");
        // SAFETY: code writes it, and no code runs on this thread while Rust has the store.
        let left = unsafe { (*self.allowance.get()).fuel };
        let reserve = self.extras.as_ref().map_or(0, |extras| extras.fuel_reserve);
        Ok(reserve + left.max(0).cast_unsigned())
    }

    fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        ensure!(self.engine.metering().fuel, "fuel is not configured in this store; see `Config::consume_fuel`");
        // No code has ever executed 2^63 instructions. Fuel beyond that is remembered, but never
        // needed.
        let most = i64::MAX.cast_unsigned();
        if fuel > most || self.extras.is_some() {
            self.extras().fuel_reserve = fuel.saturating_sub(most);
        }
        self.allowance.get_mut().fuel = fuel.min(most).cast_signed();
        Ok(())
    }
}

impl<T> Store<T> {
    /// Returns how much of the store's fuel is left, in units; 0 after
    /// [`Trap::OutOfFuel`](crate::Trap::OutOfFuel). The figure is exact: after a call that returned
    /// or trapped, and in host functions.
    ///
    /// # Errors
    /// Returns an error if the engine was not configured to consume fuel
    /// ([`Config::consume_fuel`](crate::Config::consume_fuel)).
    pub fn get_fuel(&self) -> Result<u64> {
        self.as_context().get_fuel()
    }

    /// Sets the fuel that all code of this store runs on, in units. A new store has none.
    ///
    /// Code pays:
    /// - One unit for each instruction. `nop`, `drop`, `block`, `loop`, `else`, `end`, `return` and
    ///   `unreachable` are free.
    /// - One unit for entering a function.
    /// - One more unit for every eight bytes of memory that an instruction fills, copies or
    ///   initialises. Filling and copying up to 64 bytes is free of that where the length is a
    ///   constant.
    /// - One more unit for every element of a table or array that an instruction fills, copies,
    ///   initialises or adds.
    /// - One more unit for every eight bytes of a structure of more than 256 bytes that
    ///   `struct.new_default` makes.
    /// - Where a collection looks at large tables, many globals or many exceptions although few
    ///   objects were made, because the heap may not grow: a unit for each reference there, less
    ///   one for every two bytes of new objects.
    ///
    /// The host's work (host functions, instantiation, [`Memory::write`](crate::Memory::write),
    /// ...) is free.
    ///
    /// Code pays for a stretch of instructions when it begins one: up to the next branch or call,
    /// or the end of a block. An instruction that traps has paid for the rest of its stretch. Code
    /// looks whether it had enough at the start of functions and loops, and at instructions that
    /// work on many bytes or elements, so it may execute a few instructions too many. All of this
    /// is the same in every run and at every optimisation level.
    ///
    /// # Errors
    /// The same as [`Store::get_fuel`].
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
}

impl<T> StoreContext<'_, T> {
    /// Returns how much of the store's fuel is left: [`Store::get_fuel`].
    ///
    /// # Errors
    /// The same as [`Store::get_fuel`].
    pub fn get_fuel(&self) -> Result<u64> {
        self.0.inner.fuel()
    }
}

impl<T> StoreContextMut<'_, T> {
    /// Returns how much of the store's fuel is left: [`Store::get_fuel`].
    ///
    /// # Errors
    /// The same as [`Store::get_fuel`].
    pub fn get_fuel(&self) -> Result<u64> {
        self.0.inner.fuel()
    }

    /// Sets the store's fuel: [`Store::set_fuel`]. In a host function, the calling code continues
    /// with it.
    ///
    /// # Errors
    /// The same as [`Store::get_fuel`].
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.0.inner.set_fuel(fuel)
    }
}

//! Represents values of the host that Wasm has references to.

use crate::call::unwind;
use crate::store::{AnyRef, AsContext, AsContextMut, ExternRef, Rooted, StoreContext, StoreContextMut};
use anyhow::{Result, format_err};
use std::any::Any;

impl ExternRef {
    /// Creates a reference to a value, for Wasm to hold. If there are many, those that nothing
    /// refers to are dropped first, as by [`Store::gc`](crate::Store::gc).
    ///
    /// # Errors
    /// Returns an error if the store has 2^29 values already.
    ///
    /// # Panics
    /// Panics with the panic of a value that is dropped.
    pub fn new<V: Any + Send + Sync>(mut store: impl AsContextMut, value: V) -> Result<Rooted<Self>> {
        let store = &mut store.as_context_mut().0.inner;
        if store.host_values.as_ref().is_some_and(|values| values.is_time_to_look()) {
            unwind::collect(store);
        }
        let word = store.host_values.get_or_insert_default().add(Box::new(value));
        let word = word.map_err(|_| format_err!("the store has too many values of the host: 2^29"))?;
        Ok(Rooted::of(store.root_mut(word)))
    }

    /// Makes an external reference of one in the hierarchy of `any`, as `extern.convert_any` does.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or may not be used any more
    /// ([`Rooted`]).
    pub fn convert_any(store: impl AsContext, any: Rooted<AnyRef>) -> Result<Rooted<Self>> {
        let store = &store.as_context().0.inner;
        Ok(Rooted::of(store.root(store.word(any.root)?)))
    }

    /// Returns the value. `None` if the reference is the guest's own: made by `extern.convert_any`
    /// of something that is not the host's.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or may not be used any more
    /// ([`Rooted`]).
    pub fn data<'a, T: 'a>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
    ) -> Result<Option<&'a (dyn Any + Send + Sync)>> {
        let store = &store.into().0.inner;
        let word = store.word(self.root)?;
        Ok(store.host_values.as_ref().and_then(|values| values.get(word)).map(|value| &**value))
    }

    /// Returns the value, to be changed. `None` if the reference is the guest's own.
    ///
    /// # Errors
    /// The same as [`ExternRef::data`].
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Engine, ExternRef, Store};
    /// # let mut store = Store::new(&Engine::default(), ());
    /// let counter = ExternRef::new(&mut store, 0_u32)?;
    /// if let Some(value) = counter.data_mut(&mut store)?.and_then(|value| value.downcast_mut::<u32>()) {
    ///     *value += 1;
    /// }
    /// assert_eq!(counter.data(&store)?.and_then(|value| value.downcast_ref()), Some(&1_u32));
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub fn data_mut<'a, T: 'a>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> Result<Option<&'a mut (dyn Any + Send + Sync)>> {
        let store = &mut store.into().0.inner;
        let word = store.word_mut(self.root)?;
        Ok(store.host_values.as_mut().and_then(|values| values.get_mut(word)).map(|value| &mut **value))
    }
}

//! Gives access to a store from whatever is at hand: the store itself, a `Caller`, or a reference
//! to either.

use super::store::{Store, StoreData};
use crate::engine::Engine;

/// Shared access to a store. [`AsContext`] gives it.
pub struct StoreContext<'a, T>(pub(crate) &'a StoreData<T>);

/// Exclusive access to a store. [`AsContextMut`] gives it.
pub struct StoreContextMut<'a, T>(pub(crate) &'a mut StoreData<T>);

impl<T> Clone for StoreContext<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for StoreContext<'_, T> {}

impl<T: std::fmt::Debug> std::fmt::Debug for StoreContext<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreContext").field("data", self.data()).finish_non_exhaustive()
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for StoreContextMut<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreContextMut").field("data", self.data()).finish_non_exhaustive()
    }
}

impl<'a, T> StoreContext<'a, T> {
    /// Returns the embedder's data.
    pub fn data(&self) -> &'a T {
        &self.0.data
    }

    /// Returns the store's engine.
    pub fn engine(&self) -> &'a Engine {
        &self.0.inner.engine
    }
}

impl<T> StoreContextMut<'_, T> {
    /// Returns the embedder's data.
    pub fn data(&self) -> &T {
        &self.0.data
    }

    /// Returns the embedder's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.0.data
    }

    /// Returns the store's engine.
    pub fn engine(&self) -> &Engine {
        &self.0.inner.engine
    }
}

/// Gives shared access to a store: implemented for the store itself, for a
/// [`Caller`](crate::Caller), and for references to either.
pub trait AsContext {
    /// The type of the embedder's data.
    type Data;

    /// Returns access to the store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// Gives exclusive access to a store: implemented for the store itself, for a
/// [`Caller`](crate::Caller), and for exclusive references to either.
pub trait AsContextMut: AsContext {
    /// Returns access to the store.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

impl<T> AsContext for Store<T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.contents())
    }
}

impl<T> AsContextMut for Store<T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.contents_mut())
    }
}

impl<T> AsContext for StoreContext<'_, T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        *self
    }
}

impl<T> AsContext for StoreContextMut<'_, T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}

impl<T> AsContextMut for StoreContextMut<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.0)
    }
}

impl<S: AsContext> AsContext for &S {
    type Data = S::Data;

    fn as_context(&self) -> StoreContext<'_, S::Data> {
        S::as_context(self)
    }
}

impl<S: AsContext> AsContext for &mut S {
    type Data = S::Data;

    fn as_context(&self) -> StoreContext<'_, S::Data> {
        S::as_context(self)
    }
}

impl<S: AsContextMut> AsContextMut for &mut S {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, S::Data> {
        S::as_context_mut(self)
    }
}

impl<'a, S: AsContext> From<&'a S> for StoreContext<'a, S::Data> {
    fn from(store: &'a S) -> Self {
        store.as_context()
    }
}

impl<'a, S: AsContextMut> From<&'a mut S> for StoreContextMut<'a, S::Data> {
    fn from(store: &'a mut S) -> Self {
        store.as_context_mut()
    }
}

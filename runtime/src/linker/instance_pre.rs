//! A module with its imports already looked up.

use crate::instance::imports::{Given, keep_alive};
use crate::instance::instantiate::instantiate;
use crate::module::Module;
use crate::pool::Keep;
use crate::store::{AsContextMut, Instance};
use anyhow::Result;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// A module with its imports already looked up.
///
/// # Examples
/// ```
/// # use minirt::{Engine, Linker, Module, Store};
/// # let engine = Engine::default();
/// let linker: Linker<u32> = Linker::new(&engine);
/// let pre = linker.instantiate_pre(&Module::new(&engine, "(module)")?)?;
/// for request in 0..1000 {
///     let mut store = Store::new(&engine, request);
///     pre.instantiate(&mut store)?;
/// }
/// # Ok::<(), minirt::Error>(())
/// ```
pub struct InstancePre<T> {
    inner: Arc<PreInner>,
    data: PhantomData<fn(T) -> T>,
}

struct PreInner {
    module: Module,
    given: Box<[Given]>,
    keep: Option<Keep>,
}

impl Drop for PreInner {
    fn drop(&mut self) {
        if let Some(keep) = &self.keep {
            self.module.engine().pool().release(self.module.prototype(), keep);
        }
    }
}

impl<T> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), data: PhantomData }
    }
}

impl<T> std::fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstancePre").field("module", &self.inner.module).finish_non_exhaustive()
    }
}

impl<T> InstancePre<T> {
    /// `given` must be what the module's imports are in the linker of its engine, in its order.
    pub(super) fn new(module: &Module, given: Vec<Given>) -> Self {
        let keep = keep_alive(&given);
        if let Some(keep) = &keep {
            keep.reusable.store(true, SeqCst);
        }
        let inner = PreInner { module: module.clone(), given: given.into(), keep };
        Self { inner: Arc::new(inner), data: PhantomData }
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.inner.module
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// As [`Instance::new`].
    ///
    /// # Panics
    /// As [`Instance::new`].
    #[inline]
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        let PreInner { module, given, keep } = &*self.inner;
        instantiate(&mut store.as_context_mut().0.inner, module, given, keep.as_ref())
    }
}

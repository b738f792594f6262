//! Holds a module whose imports have already been looked up.

use crate::instance::imports::{ImportValue, closures_of};
use crate::instance::instantiate::instantiate;
use crate::module::Module;
use crate::pool::Closures;
use crate::store::{AsContextMut, Instance};
use anyhow::Result;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// A module with its imports already looked up and checked
/// ([`Linker::instantiate_pre`](crate::Linker::instantiate_pre)).
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
    imports: Box<[ImportValue]>,
    /// Those that the imports point to.
    closures: Option<Arc<Closures>>,
}

impl Drop for PreInner {
    fn drop(&mut self) {
        if let Some(closures) = &self.closures {
            self.module.engine().pool().release_closures(self.module.prototype(), closures);
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
    /// Creates it. `imports` are the values of the module's imports, in its order, from a linker of
    /// its engine.
    pub(super) fn new(module: &Module, imports: Vec<ImportValue>) -> Self {
        let closures = closures_of(&imports);
        if let Some(closures) = &closures {
            closures.reusable.store(true, SeqCst);
        }
        let inner = PreInner { module: module.clone(), imports: imports.into(), closures };
        Self { inner: Arc::new(inner), data: PhantomData }
    }

    /// Returns the module.
    pub fn module(&self) -> &Module {
        &self.inner.module
    }

    /// Creates an instance.
    ///
    /// # Errors
    /// The same as [`Instance::new`].
    ///
    /// # Panics
    /// Panics with the panic of a host function called by the start function.
    #[inline]
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        let PreInner { module, imports, closures } = &*self.inner;
        instantiate(&mut store.as_context_mut().0.inner, module, imports, closures.as_ref())
    }
}

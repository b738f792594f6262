//! Defines host functions: closures that Wasm can call.
//!
//! A closure stands behind an untyped pointer, beside the one function that knows its type: the
//! shim. An exit trampoline calls the shim (or the host does, if it calls a host function). The
//! shim hands the closure its arguments and a [`Caller`], and turns an error or a panic into a
//! return value, so that no Rust frame is ever skipped.

use crate::call::unwind;
use crate::engine::Engine;
use crate::pool::InstanceData;
use crate::store::Extern;
use crate::store::epoch;
use crate::store::resolve::export_of;
use crate::store::{AsContext, AsContextMut, Failure, StoreContext, StoreContextMut, StoreData, StoreInner};
use crate::store::{ExnRef, Rooted, ThrownException};
use crate::value::Val;
use crate::vmctx::{HostCall, HostContext, Raw, VmContext};
use anyhow::{Result, bail};
use minirt_compiler::instance::builtin::HOST_FAILED;
use minirt_compiler::module::FuncType;
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// A closure with its type, ready to be imported.
#[derive(Clone)]
pub(crate) struct HostFunc {
    pub(crate) ty: FuncType,
    call: HostCall,
    data: *const u8,
    pub(crate) closure: Arc<dyn Any + Send + Sync>,
}

// SAFETY: `data` points into `closure`, which may be sent and shared; `call` is a function.
unsafe impl Send for HostFunc {}
// SAFETY: as above.
unsafe impl Sync for HostFunc {}

impl HostFunc {
    pub(crate) fn new<T, F: HostClosure<T>>(ty: FuncType, closure: F) -> Self {
        let closure = Arc::new(closure);
        Self { ty, call: shim::<T, F>, data: Arc::as_ptr(&closure).cast(), closure }
    }

    pub(crate) fn context(&self, importer: Option<VmContext>) -> HostContext {
        HostContext { call: self.call, data: self.data, importer }
    }
}

/// Passed to a host function: gives access to the store, and to the instance that imports the
/// function.
///
/// # Examples
/// ```
/// use minirt::{Caller, Engine, Linker, Module, Result, Store};
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module
///     (import "host" "print" (func $print (param i32 i32)))
///     (memory (export "memory") 1) (data (i32.const 8) "hello")
///     (func (export "run") (call $print (i32.const 8) (i32.const 5))))"#)?;
/// let mut linker = Linker::new(&engine);
/// let print = |mut caller: Caller<'_, String>, at: u32, len: u32| -> Result<()> {
///     let memory = caller.get_export("memory").and_then(|it| it.into_memory());
///     let memory = memory.ok_or_else(|| minirt::Error::msg("there is no memory"))?;
///     let mut bytes = vec![0; len as usize];
///     memory.read(&caller, at as usize, &mut bytes)?;
///     caller.data_mut().push_str(std::str::from_utf8(&bytes)?);
///     Ok(())
/// };
/// linker.func_wrap("host", "print", print)?;
/// let mut store = Store::new(&engine, String::new());
/// let instance = linker.instantiate(&mut store, &module)?;
/// instance.get_typed_func::<(), ()>(&store, "run")?.call(&mut store, ())?;
/// assert_eq!(store.data(), "hello");
/// # Ok::<(), minirt::Error>(())
/// ```
pub struct Caller<'a, T> {
    pub(crate) store: StoreContextMut<'a, T>,
    importer: Option<VmContext>,
}

impl<T> Caller<'_, T> {
    /// Lends it for a shorter time.
    #[inline]
    pub(crate) fn reborrow(&mut self) -> Caller<'_, T> {
        Caller { store: self.store.as_context_mut(), importer: self.importer }
    }

    /// Returns the embedder's data.
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// Returns the embedder's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// Returns the store's engine.
    pub fn engine(&self) -> &Engine {
        self.store.engine()
    }

    /// Returns how much of the store's fuel is left: [`Store::get_fuel`](crate::Store::get_fuel).
    ///
    /// # Errors
    /// Returns an error if the engine was not configured to consume fuel.
    pub fn get_fuel(&self) -> Result<u64> {
        self.store.get_fuel()
    }

    /// Sets the store's fuel, also for the code that is running:
    /// [`Store::set_fuel`](crate::Store::set_fuel).
    ///
    /// # Errors
    /// Returns an error if the engine was not configured to consume fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.store.set_fuel(fuel)
    }

    /// Returns whether the store's code has to look at epoch deadlines
    /// ([`Config::epoch_interruption`](crate::Config::epoch_interruption)).
    pub fn has_epoch_deadlines(&self) -> bool {
        self.engine().metering().epochs
    }

    /// Does what compiled code does in loops, for a host function that takes long or waits: if the
    /// store's epoch deadline has passed, the guest is interrupted, or the embedder's callback
    /// decides ([`Store::set_epoch_deadline`](crate::Store::set_epoch_deadline)). The callback may
    /// do anything with the store, so look everything up again afterwards.
    ///
    /// # Errors
    /// Returns an error if the guest is not to continue:
    /// [`Trap::Interrupt`](crate::Trap::Interrupt), or the callback's own. The host function should
    /// return it.
    ///
    /// # Panics
    /// With the panic of the callback.
    pub fn check_epoch_deadline(&mut self) -> Result<()> {
        if !self.has_epoch_deadlines() {
            return Ok(());
        }
        epoch::check_deadline(&mut self.store.0.inner)
    }

    /// Makes an exception the store's pending one, and returns the error with which this host
    /// function throws it: `caller.throw(exception)?`.
    ///
    /// # Errors
    /// Always: [`ThrownException`]; or another error if the exception belongs to another store, or
    /// its handle is not valid any more.
    pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R> {
        self.store.throw(exception)
    }

    /// Takes the exception that was thrown last, or that left a call because nothing caught it:
    /// [`Store::take_pending_exception`](crate::Store::take_pending_exception).
    pub fn take_pending_exception(&mut self) -> Option<Rooted<ExnRef>> {
        self.store.take_pending_exception()
    }

    /// Returns whether there is an exception to take.
    pub fn has_pending_exception(&self) -> bool {
        self.store.has_pending_exception()
    }

    /// Returns an export of the instance that imports this function. `None` if it has no export of
    /// that name, or if the function was called through a reference and no instance imports it.
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        // SAFETY: the importer is alive, since its store is, and nobody changes its description
        // now.
        let instance = unsafe { InstanceData::shared(self.importer?) }.index;
        export_of(&self.store.0.inner, instance, name)
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Caller<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("data", self.data()).finish_non_exhaustive()
    }
}

impl<T> AsContext for Caller<'_, T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        self.store.as_context()
    }
}

impl<T> AsContextMut for Caller<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        self.store.as_context_mut()
    }
}

/// A closure of one of the accepted shapes, to be called with its arguments in an array.
pub(crate) trait HostClosure<T>: Send + Sync + 'static {
    /// # Safety
    /// `values` must hold arguments of the function's types, and have room for its results.
    unsafe fn call(&self, caller: Caller<'_, T>, values: *mut Raw) -> Result<()>;
}

/// Calls the closure behind `context`, whose types are `T` and `F`. Exit trampolines call this.
unsafe extern "C" fn shim<T, F: HostClosure<T>>(
    context: *const HostContext,
    values: *mut Raw,
    frame: *const usize,
) -> u64 {
    // SAFETY: a host function runs within a call of its store, whose data is of the type that the
    // closure was made for. The store has been lent to that call, and is used by nobody else until
    // the closure returns. The call's activation is the store's innermost one. `context` is that of
    // the closure.
    let (activation, store, context) = unsafe {
        let store = &mut *StoreInner::of_host_function(context).cast::<StoreData<T>>().as_ptr();
        let activation = store.inner.activation;
        (*activation).leave_wasm(frame);
        (activation, store, &*context)
    };
    let scope = store.inner.roots.get_mut().scope();
    let failure = {
        let caller = Caller { store: StoreContextMut(&mut *store), importer: context.importer };
        // SAFETY: `data` is the address of the closure, kept alive by the store or its instance.
        let closure = unsafe { &*context.data.cast::<F>() };
        // SAFETY: the trampoline's array holds arguments and has room for results of the function's
        // type.
        Failure::catch(|| unsafe { closure.call(caller, values) }).err()
    };
    // SAFETY: as above; the activation is the store's innermost again.
    unsafe { (*activation).back_to_wasm() };
    store.inner.roots.get_mut().end_scope(scope);
    failure.map_or(0, |failure| failed(&mut store.inner, failure))
}

/// Leaves a failure in the store, and returns what the exit trampoline is to do about it.
#[cold]
fn failed(store: &mut StoreInner, failure: Failure) -> u64 {
    let thrown = match &failure {
        Failure::Error(error) => error.downcast_ref::<ThrownException>(),
        Failure::Panic(_) => None,
    };
    let thrown = thrown.is_some_and(|thrown| store.throw_again(thrown));
    store.failure = Some(failure);
    if thrown { unwind::throw_pending as *const () as u64 } else { HOST_FAILED as u64 }
}

/// How many values a call of a function of any type has room for without allocating.
pub(crate) const INLINE_VALUES: usize = 8;

/// A closure that takes and returns values of any type, for functions whose type is only known at
/// run time.
struct Dynamic<F> {
    ty: FuncType,
    closure: F,
}

impl HostFunc {
    pub(crate) fn dynamic<T>(
        ty: FuncType,
        closure: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::new::<T, _>(ty.clone(), Dynamic { ty, closure })
    }
}

impl<T, F> HostClosure<T> for Dynamic<F>
where
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
{
    unsafe fn call(&self, mut caller: Caller<'_, T>, values: *mut Raw) -> Result<()> {
        let (params, results) = (self.ty.params(), self.ty.results());
        let inner = &mut caller.store.0.inner;
        // SAFETY: the array holds as many arguments as the type has parameters.
        let raw = |i: usize| unsafe { *values.add(i) };
        // Filled where it stands: moving it would cost more than all the rest.
        let mut vals = SmallVec::<[Val; INLINE_VALUES]>::new();
        vals.reserve(params.len() + results.len());
        params.iter().enumerate().for_each(|(i, ty)| vals.push(Val::from_raw(raw(i), *ty, inner)));
        results.iter().for_each(|ty| vals.push(Val::placeholder(*ty)));
        let (arguments, returned) = vals.split_at_mut(params.len());
        (self.closure)(caller.reborrow(), arguments, returned)?;
        let inner = &mut caller.store.0.inner;
        for (i, (value, ty)) in returned.iter().zip(results).enumerate() {
            if !value.matches(*ty, inner)? {
                let ty = inner.engine.shown(ty);
                bail!("a host function returned {} as result {i}, but its type has {ty}", value.ty());
            }
            let raw = value.into_raw(inner)?;
            // SAFETY: the array has room for as many results as the type has.
            unsafe { *values.add(i) = raw }
        }
        Ok(())
    }
}

//! Represents functions to the embedder: makes them from closures, and calls them.

use super::host::{Caller, HostFunc, INLINE_VALUES};
use super::into_func::{IntoFunc, IntoHost};
use crate::call::enter::call;
use crate::pool::InstanceData;
use crate::store::{AsContext, AsContextMut, Func, HostFuncData, StoreInner};
use crate::value::Val;
use crate::vmctx::{FuncRecord, HostContext, Raw, VmContext};
use anyhow::{Result, bail, ensure};
use minirt_compiler::module::{FuncType, Shown};
use smallvec::{SmallVec, smallvec};
use std::fmt::Display;
use std::mem::offset_of;
use std::ptr::NonNull;

impl Func {
    /// Creates a host function of a type that is only known at run time. The closure gets the
    /// arguments, and a slice for its results that is filled with defaults.
    ///
    /// # Panics
    /// Panics if the type belongs to another engine.
    ///
    /// # Examples
    /// ```
    /// # use minirt::{Engine, Func, FuncType, Store, Val, ValType};
    /// # let mut store = Store::new(&Engine::default(), ());
    /// let ty = FuncType::new([ValType::I64, ValType::I64], [ValType::I64]);
    /// let max = Func::new(&mut store, ty, |_caller, params, results| {
    ///     results[0] = Val::I64(params[0].unwrap_i64().max(params[1].unwrap_i64()));
    ///     Ok(())
    /// });
    /// let mut results = [Val::I64(0)];
    /// max.call(&mut store, &[Val::I64(3), Val::I64(8)], &mut results)?;
    /// assert_eq!(results[0].i64(), Some(8));
    /// # Ok::<(), minirt::Error>(())
    /// ```
    pub fn new<S: AsContextMut>(
        mut store: S,
        ty: FuncType,
        closure: impl Fn(Caller<'_, S::Data>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let host = HostFunc::dynamic(ty, closure);
        Self::from_host(&mut store.as_context_mut().0.inner, &host)
    }

    /// Creates a host function from a closure. Its type follows from the closure's.
    pub fn wrap<S: AsContextMut, P, R>(mut store: S, closure: impl IntoFunc<S::Data, P, R>) -> Self {
        let IntoHost(host) = closure.into_host();
        Self::from_host(&mut store.as_context_mut().0.inner, &host)
    }

    /// Returns a type as text, with the names that the function's module has for types.
    #[cold]
    pub(super) fn shown<T>(self, store: &StoreInner, ty: &T) -> String
    where
        for<'a> Shown<'a, T>: Display,
    {
        // SAFETY: records live as long as their store.
        let FuncRecord { callee, entry, .. } = *unsafe { self.record.as_ref() };
        match NonNull::new(FuncRecord::callee(self.record, callee)) {
            Some(vmctx) if !entry.is_null() => {
                // SAFETY: what has an entry is the function of an instance, which is alive as long
                // as the store, and nobody changes its description now.
                let data = unsafe { InstanceData::shared(VmContext(vmctx)) };
                data.prototype.shown(store.engine.types(), ty)
            }
            _ => store.engine.shown(ty),
        }
    }

    pub(crate) fn from_host(store: &mut StoreInner, host: &HostFunc) -> Self {
        let types = store.engine.type_registry().register_func(&host.ty);
        let record = FuncRecord {
            code: std::ptr::null(),
            callee: offset_of!(HostFuncData, context) as isize - offset_of!(HostFuncData, record) as isize,
            type_id: types[0],
            entry: std::ptr::null(),
        };
        let (context, _closure) = (host.context(None), host.closure.clone());
        let data = HostFuncData { record, context, store: store.address(), _types: types, _closure };
        let data = NonNull::from(Box::leak(Box::new(data)));
        store.host_funcs.push(data);
        // SAFETY: `data` was just allocated, and `record` is a field of it.
        let record = unsafe { NonNull::new_unchecked(&raw mut (*data.as_ptr()).record) };
        Self { store: store.id, record }
    }

    /// Returns a host function's context; `None` for a Wasm function.
    pub(crate) fn host_context(self) -> Option<HostContext> {
        // SAFETY: records live as long as their store; without an entry the callee is a host
        // context.
        unsafe {
            let record = self.record.as_ref();
            record.entry.is_null().then(|| *FuncRecord::callee(self.record, record.callee).cast::<HostContext>())
        }
    }

    /// Returns its type.
    ///
    /// # Panics
    /// Panics if the function belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        self.type_in(&store.as_context().0.inner)
    }

    /// Returns whether it can be used where functions of the type `ty` are expected.
    ///
    /// # Panics
    /// Panics if the function belongs to another store, or the type to another engine.
    pub fn matches_ty(&self, store: impl AsContext, ty: &FuncType) -> bool {
        let store = &store.as_context().0.inner;
        self.store.assert_same_store(store.id);
        store.engine.is_subtype(self.type_number(), store.engine.type_registry().register_func(ty)[0])
    }

    /// Calls the function. `results` must have as many places as the type has results; they are
    /// overwritten.
    ///
    /// # Errors
    /// Returns an error if arguments or results do not fit the type; the [`Trap`](crate::Trap) that
    /// ended the call, with a [`WasmBacktrace`](crate::WasmBacktrace); or the error that a host
    /// function returned.
    ///
    /// # Panics
    /// Panics if the function belongs to another store, or with the panic of a host function.
    pub fn call(&self, mut store: impl AsContextMut, params: &[Val], results: &mut [Val]) -> Result<()> {
        let inner = &mut store.as_context_mut().0.inner;
        let ty = self.type_in(inner);
        check_arguments(inner, *self, &ty, params, results)?;
        let mut values: SmallVec<[Raw; INLINE_VALUES]> = smallvec![Raw::default(); params.len().max(results.len())];
        for (value, param) in values.iter_mut().zip(params) {
            *value = param.into_raw(inner)?;
        }
        // SAFETY: the function is this store's; the arguments were checked against its type, and
        // there is room for the results.
        unsafe { call(inner, self.record, values.as_mut_ptr()) }?;
        for ((result, raw), ty) in results.iter_mut().zip(&values).zip(ty.results()) {
            *result = Val::from_raw(*raw, *ty, inner);
        }
        Ok(())
    }
}

fn check_arguments(store: &StoreInner, func: Func, ty: &FuncType, params: &[Val], results: &[Val]) -> Result<()> {
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    if params.len() != ty.params().len() {
        bail!("expected {}, found {}", plural(ty.params().len(), "argument"), params.len());
    }
    if results.len() != ty.results().len() {
        bail!("expected room for {}, found room for {}", plural(ty.results().len(), "result"), results.len());
    }
    for (i, (value, ty)) in params.iter().zip(ty.params()).enumerate() {
        ensure!(
            value.matches(*ty, store)?,
            "argument {i} is of type {}, where the function takes {}",
            value.ty(),
            func.shown(store, ty)
        );
    }
    Ok(())
}

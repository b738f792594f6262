//! Functions in the embedder's hands: making them from closures, and calling them.

use super::host::{Caller, HostFunc, USUAL};
use super::into_func::{IntoFunc, IntoHost, WasmResults};
use crate::call::enter::call;
use crate::store::Func;
use crate::store::{AsContext, AsContextMut, HostFuncData, StoreInner};
use crate::value::Val;
use crate::value::wasm_ty::sealed::Context;
use crate::vmctx::{FuncRecord, HostContext, Raw};
use anyhow::{Result, bail, ensure};
use minirt_compiler::module::{FuncType, HeapType, RefKind, ValType};
use smallvec::{SmallVec, smallvec};
use std::marker::PhantomData;
use std::mem::{MaybeUninit, offset_of};
use std::ptr::NonNull;

/// The most parameters or results of a function with static types.
const MAX_TYPED: usize = 16;

impl Func {
    /// A host function of a type that is known at run time only. The closure gets the arguments, and a slice
    /// of defaults to put its results in.
    ///
    /// # Panics
    /// When the type is another engine's.
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

    /// A host function from a closure whose type says it all.
    pub fn wrap<S: AsContextMut, P, R>(mut store: S, closure: impl IntoFunc<S::Data, P, R>) -> Self {
        let IntoHost(host) = closure.into_host();
        Self::from_host(&mut store.as_context_mut().0.inner, &host)
    }

    pub(crate) fn from_host(store: &mut StoreInner, host: &HostFunc) -> Self {
        let record = FuncRecord {
            code: std::ptr::null(),
            callee: offset_of!(HostFuncData, context) as isize - offset_of!(HostFuncData, record) as isize,
            type_id: store.engine.type_number(&host.ty),
            entry: std::ptr::null(),
        };
        let data = HostFuncData { record, context: host.context(None), _keep: host.keep.clone() };
        let data = NonNull::from(Box::leak(Box::new(data)));
        store.host_funcs.push(data);
        // SAFETY: `data` was just allocated, and `record` is a field of it.
        let record = unsafe { NonNull::new_unchecked(&raw mut (*data.as_ptr()).record) };
        Self { store: store.id, record }
    }

    /// For a host function, what it is called with.
    pub(crate) fn host_context(self) -> Option<HostContext> {
        // SAFETY: records live as long as their store; without an entry the callee is a host context.
        unsafe {
            let record = self.record.as_ref();
            record.entry.is_null().then(|| *FuncRecord::callee(self.record, record.callee).cast::<HostContext>())
        }
    }

    /// Its type.
    ///
    /// # Panics
    /// When the function belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        self.type_in(&store.as_context().0.inner)
    }

    /// Whether it may stand where functions of the type `ty` are asked for.
    ///
    /// # Panics
    /// When the function belongs to another store, or the type to another engine.
    pub fn matches_ty(&self, store: impl AsContext, ty: &FuncType) -> bool {
        let store = &store.as_context().0.inner;
        self.store.check(store.id);
        store.engine.is_subtype(self.type_number(), store.engine.type_number(ty))
    }

    /// Calls it. `results` must be as long as the type has results; they are overwritten.
    ///
    /// # Errors
    /// When arguments or results do not fit the type; the [`Trap`](crate::Trap) that ended the call, with a
    /// [`WasmBacktrace`](crate::WasmBacktrace); or whatever error a host function returned.
    ///
    /// # Panics
    /// When the function belongs to another store, or with the panic of a host function.
    pub fn call(&self, mut store: impl AsContextMut, params: &[Val], results: &mut [Val]) -> Result<()> {
        let inner = &mut store.as_context_mut().0.inner;
        let ty = self.type_in(inner);
        check_arguments(inner, &ty, params, results)?;
        let mut values: SmallVec<[Raw; USUAL]> = smallvec![Raw::default(); params.len().max(results.len())];
        for (value, param) in values.iter_mut().zip(params) {
            *value = param.into_raw(inner)?;
        }
        // SAFETY: the function is this store's; the arguments were checked against its type, and there is room for
        // the results.
        unsafe { call(inner, self.record, values.as_mut_ptr()) }?;
        for ((result, raw), ty) in results.iter_mut().zip(&values).zip(ty.results()) {
            *result = Val::from_raw(*raw, *ty, inner);
        }
        Ok(())
    }

    /// The same function with its type checked once, for fast calls: it must be possible to pass all `P` and to take its
    /// results as `R`. Where it takes references to functions of one type, each call checks what it is given.
    ///
    /// # Errors
    /// When the function's type does not allow that; the error shows both.
    ///
    /// # Panics
    /// When the function belongs to another store.
    pub fn typed<P: WasmResults, R: WasmResults>(&self, store: impl AsContext) -> Result<TypedFunc<P, R>> {
        let store = &store.as_context().0.inner;
        self.typed_as(&self.type_in(store), store)
    }

    /// The same, given its type.
    #[inline]
    pub(crate) fn typed_as<P: WasmResults, R: WasmResults>(
        self,
        ty: &FuncType,
        store: &StoreInner,
    ) -> Result<TypedFunc<P, R>> {
        let same = P::matches(ty.params()) && R::matches(ty.results());
        let checked = !same && self.checked_as(&FuncType::new(P::types(), R::types()), store)?;
        // Rust types stand for one value or a tuple, and no tuple is longer than MAX_TYPED.
        Ok(TypedFunc { func: self, checked, types: PhantomData })
    }

    /// Whether references have to be checked at each call, as a function of another type than its own.
    #[cold]
    fn checked_as(self, wanted: &FuncType, store: &StoreInner) -> Result<bool> {
        let own = self.type_in(store);
        let types = store.engine.types();
        if types.signature_matches(&own, wanted) {
            return Ok(false);
        }
        let if_checked = |(own, given): (&ValType, &ValType)| if kind_only(*own, *given) { *own } else { *given };
        let params = own.params().iter().zip(wanted.params()).map(if_checked);
        let wanted_if_checked = FuncType::new(params, wanted.results().iter().copied());
        let fits = own.params().len() == wanted.params().len() && types.signature_matches(&own, &wanted_if_checked);
        ensure!(fits, "the function has type `{own}`, not `{wanted}`");
        Ok(true)
    }
}

/// Whether only a call can tell if what is given fits: it is a reference to a function, and one of a certain type is
/// asked for. No Rust type stands for that.
fn kind_only(own: ValType, given: ValType) -> bool {
    matches!((own, given), (ValType::Ref(own), ValType::Ref(given))
        if matches!(own.heap, HeapType::ConcreteFunc(_)) && given.heap.kind() == RefKind::Func)
}

/// # Safety
/// `values` must hold arguments of the function's kinds of types, with references of this store.
#[cold]
unsafe fn check_references(store: &StoreInner, func: Func, values: *const u128) -> Result<()> {
    for (i, ty) in func.type_in(store).params().iter().enumerate() {
        // SAFETY: the caller's promise.
        let value = Val::from_raw(Raw(unsafe { *values.add(i) }), *ty, store);
        ensure!(value.matches(*ty, store), "argument {i} is no reference of the type {ty}");
    }
    Ok(())
}

fn check_arguments(store: &StoreInner, ty: &FuncType, params: &[Val], results: &[Val]) -> Result<()> {
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    if params.len() != ty.params().len() {
        bail!("expected {}, found {}", plural(ty.params().len(), "argument"), params.len());
    }
    if results.len() != ty.results().len() {
        bail!("expected room for {}, found room for {}", plural(ty.results().len(), "result"), results.len());
    }
    for (i, (value, ty)) in params.iter().zip(ty.params()).enumerate() {
        ensure!(value.matches(*ty, store), "argument {i} is of type {}, where the function takes {ty}", value.ty());
    }
    Ok(())
}

/// A function whose parameters `P` and results `R` are Rust types: one value, or a tuple.
pub struct TypedFunc<P, R> {
    func: Func,
    /// Whether each call checks the references that it is given.
    checked: bool,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P, R> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TypedFunc").field(&self.func).finish()
    }
}

impl<P: WasmResults, R: WasmResults> TypedFunc<P, R> {
    /// The function without its static type.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// Calls it.
    ///
    /// # Errors
    /// The [`Trap`](crate::Trap) that ended the call, with a [`WasmBacktrace`](crate::WasmBacktrace); whatever error a host
    /// function returned; and when a reference is of another store, or not of the type that the function takes.
    ///
    /// # Panics
    /// When the function belongs to another store, or with the panic of a host function.
    #[inline]
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        let inner = &mut store.as_context_mut().0.inner;
        self.func.store.check(inner.id);
        let mut values = [MaybeUninit::<u128>::uninit(); MAX_TYPED];
        let values = values.as_mut_ptr().cast::<u128>();
        // SAFETY: `typed` checked that the function takes P, apart from what is checked here, and returns R, and that
        // MAX_TYPED is enough.
        unsafe {
            params.write_all(values, &mut Context(inner))?;
            if self.checked {
                check_references(inner, self.func, values)?;
            }
            call(inner, self.func.record, values.cast())?;
            Ok(R::read_all(values, &mut Context(inner)))
        }
    }
}

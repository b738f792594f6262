//! Calls functions whose parameters and results are Rust types, and checks their type once.

use super::into_func::{WasmParams, WasmResults};
use crate::call::enter::call;
use crate::store::{AsContext, AsContextMut, Func, StoreInner};
use crate::value::wasm_ty::sealed::StoreAccess;
use crate::value::word_matches;
use anyhow::{Result, ensure};
use minirt_compiler::module::canonical::NumberedTypes;
use minirt_compiler::module::{FuncType, ValType};
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// The most parameters or results of a function with static types.
const MAX_TYPED: usize = 16;

impl Func {
    /// Checks the function's type once, for fast calls: every `P` must fit its parameters, and its
    /// results must fit `R`. Arguments that are references of a more general type than the
    /// parameter are checked at each call.
    ///
    /// # Errors
    /// Returns an error if the function has another type. The error shows both.
    ///
    /// # Panics
    /// Panics if the function belongs to another store.
    pub fn typed<P: WasmParams, R: WasmResults>(&self, store: impl AsContext) -> Result<TypedFunc<P, R>> {
        let store = &store.as_context().0.inner;
        self.typed_as(&self.type_in(store), store)
    }

    /// Does the same for a function of a known type.
    #[inline]
    pub(crate) fn typed_as<P: WasmParams, R: WasmResults>(
        self,
        ty: &FuncType,
        store: &StoreInner,
    ) -> Result<TypedFunc<P, R>> {
        let same = P::matches(ty.params()) && R::matches(ty.results());
        let checked = !same && self.checked_as(&FuncType::new(P::types(), R::types()), store)?;
        // Rust types stand for at most MAX_TYPED values: the longest tuple.
        Ok(TypedFunc { func: self, checked, types: PhantomData })
    }

    /// Returns whether references have to be checked at each call, for a function whose type is not
    /// `wanted` itself.
    #[cold]
    fn checked_as(self, wanted: &FuncType, store: &StoreInner) -> Result<bool> {
        let own = self.type_in(store);
        let types = store.engine.types();
        if types.signature_matches(&own, wanted) {
            return Ok(false);
        }
        let if_checked =
            |(own, given): (&ValType, &ValType)| if needs_check_at_call(*own, *given, &types) { *own } else { *given };
        let params = own.params().iter().zip(wanted.params()).map(if_checked);
        let wanted_if_checked = FuncType::new(params, wanted.results().iter().copied());
        let fits = own.params().len() == wanted.params().len() && types.signature_matches(&own, &wanted_if_checked);
        drop(types);
        ensure!(fits, "the function has type `{}`, not `{}`", self.shown(store, &own), self.shown(store, wanted));
        Ok(true)
    }
}

/// Returns whether only a call can tell if a value fits: it is a reference of a more general type
/// than the parameter. For many types of references there is no Rust type.
fn needs_check_at_call(own: ValType, given: ValType, types: &impl NumberedTypes) -> bool {
    matches!((own, given), (ValType::Ref(own), ValType::Ref(given))
        if own.heap != given.heap && types.heap_matches(own.heap, given.heap))
}

/// Checks that references have the types of the function's parameters.
///
/// # Safety
/// `values` must hold arguments of the function's kinds of types, with references of this store.
#[cold]
unsafe fn check_references(store: &StoreInner, func: Func, values: *const u128) -> Result<()> {
    for (i, ty) in func.type_in(store).params().iter().enumerate() {
        let ValType::Ref(wanted) = ty else { continue };
        // SAFETY: the caller's promise.
        let word = unsafe { *values.add(i) } as u64;
        let fits = word_matches(word, *wanted, store);
        ensure!(fits, "argument {i} is not a reference of the type {}", func.shown(store, ty));
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

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// Returns the function without its static type.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// Calls the function.
    ///
    /// # Errors
    /// Returns the [`Trap`](crate::Trap) that ended the call, with a
    /// [`WasmBacktrace`](crate::WasmBacktrace); the error that a host function returned; or an
    /// error if a reference belongs to another store, or is not of the parameter's type.
    ///
    /// # Panics
    /// Panics if the function belongs to another store, or with the panic of a host function.
    #[inline]
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        let inner = &mut store.as_context_mut().0.inner;
        self.func.store.assert_same_store(inner.id);
        let mut values = [MaybeUninit::<u128>::uninit(); MAX_TYPED];
        let values = values.as_mut_ptr().cast::<u128>();
        // SAFETY: `typed` checked that the function takes P, apart from what is checked here, and
        // returns R, and that MAX_TYPED is enough.
        unsafe {
            params.write_all(values, &mut StoreAccess(inner))?;
            if self.checked {
                check_references(inner, self.func, values)?;
            }
            call(inner, self.func.record, values.cast())?;
            Ok(R::read_all(values, &mut StoreAccess(inner)))
        }
    }
}

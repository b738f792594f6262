//! Derives the types of host functions from those of their closures.
//!
//! The compiler knows what such a closure takes and returns, and so how it reads its arguments from
//! the array that every host function gets: one load for each, and no allocation.

use super::host::{Caller, HostClosure, HostFunc};
use crate::value::WasmTy;
use crate::value::wasm_ty::sealed::StoreAccess;
use crate::vmctx::Raw;
use anyhow::Result;
use minirt_compiler::module::{FuncType, ValType};
use std::marker::PhantomData;

/// Values that Rust types stand for, in an array: none, one, or a tuple.
///
/// [`WasmParams`] and [`WasmResults`] are the two roles that they play.
pub trait WasmValues: Sized {
    #[doc(hidden)]
    fn types() -> Vec<ValType>;
    /// Returns whether `types` are the types that the Rust types stand for.
    #[doc(hidden)]
    fn matches(types: &[ValType]) -> bool;
    /// # Safety
    /// `values` must have room for all of them.
    #[doc(hidden)]
    unsafe fn write_all(self, values: *mut u128, store: &mut StoreAccess<'_>) -> Result<()>;
    /// # Safety
    /// `values` must hold values of these types.
    #[doc(hidden)]
    unsafe fn read_all(values: *const u128, store: &mut StoreAccess<'_>) -> Self;
}

/// Parameters that Rust types stand for: `()`, one [`WasmTy`], or a tuple of up to 16.
pub trait WasmParams: WasmValues {}
impl<V: WasmValues> WasmParams for V {}

/// Results that Rust types stand for: `()`, one [`WasmTy`], or a tuple of up to 16.
pub trait WasmResults: WasmValues {}
impl<V: WasmValues> WasmResults for V {}

/// The types that a host function may return: [`WasmResults`], or a `Result` of them.
pub trait WasmRet: sealed::Ret {
    #[doc(hidden)]
    type Ok: WasmResults;
    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Ok>;
}

pub(crate) mod sealed {
    //! Keeps others from implementing `WasmRet`.
    pub trait Ret {}
}

impl<R: WasmResults> sealed::Ret for R {}
impl<R: WasmResults> WasmRet for R {
    type Ok = R;
    #[inline]
    fn into_result(self) -> Result<R> {
        Ok(self)
    }
}

impl<R: WasmResults> sealed::Ret for Result<R> {}
impl<R: WasmResults> WasmRet for Result<R> {
    type Ok = R;
    #[inline]
    fn into_result(self) -> Self {
        self
    }
}

impl<A: WasmTy> WasmValues for A {
    fn types() -> Vec<ValType> {
        vec![A::valtype()]
    }
    #[inline]
    fn matches(types: &[ValType]) -> bool {
        types == [A::valtype()]
    }
    #[inline]
    unsafe fn write_all(self, values: *mut u128, store: &mut StoreAccess<'_>) -> Result<()> {
        let bits = self.write(store)?;
        // SAFETY: the caller's promise.
        unsafe { *values = bits }
        Ok(())
    }
    #[inline]
    unsafe fn read_all(values: *const u128, store: &mut StoreAccess<'_>) -> Self {
        // SAFETY: the caller's promise.
        A::read(unsafe { *values }, store)
    }
}

/// Closures that host functions can be made from: `Fn(..) -> R` or `Fn(Caller<'_, T>, ..) -> R`,
/// with up to 16 parameters of types that implement [`WasmTy`], and a result that implements
/// [`WasmRet`].
pub trait IntoFunc<T, P, R>: Send + Sync + 'static {
    #[doc(hidden)]
    type Params: WasmParams;
    #[doc(hidden)]
    fn call(&self, caller: Caller<'_, T>, params: Self::Params) -> R;
    #[doc(hidden)]
    fn into_host(self) -> IntoHost;
}

/// A host function on its way into a linker or store.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "closures have nothing to show")]
pub struct IntoHost(pub(crate) HostFunc);

/// Marks the closures that take a `Caller` first.
#[doc(hidden)]
#[derive(Debug)]
pub struct WithCaller;

/// A closure with its types, which follow from the traits that it implements.
struct Typed<F, P, R> {
    closure: F,
    types: PhantomData<fn(P) -> R>,
}

impl IntoHost {
    fn new<T, P: 'static, R: WasmRet + 'static, F: IntoFunc<T, P, R>>(closure: F) -> Self {
        let ty = FuncType::new(F::Params::types(), R::Ok::types());
        Self(HostFunc::new::<T, _>(ty, Typed { closure, types: PhantomData::<fn(P) -> R> }))
    }
}

impl<T, F: IntoFunc<T, P, R>, P: 'static, R: WasmRet + 'static> HostClosure<T> for Typed<F, P, R> {
    #[inline]
    unsafe fn call(&self, mut caller: Caller<'_, T>, values: *mut Raw) -> Result<()> {
        let values = values.cast::<u128>();
        // SAFETY: the array holds arguments of these types.
        let params = unsafe { F::Params::read_all(values, &mut StoreAccess(&mut caller.store.0.inner)) };
        let results = self.closure.call(caller.reborrow(), params).into_result()?;
        // SAFETY: the array has room for results of these types.
        unsafe { results.write_all(values, &mut StoreAccess(&mut caller.store.0.inner)) }
    }
}

macro_rules! shapes {
    ($($count:literal $($name:ident $index:literal)*;)*) => {
        $(
        #[allow(non_snake_case, unused_variables, clippy::unused_unit)]
        impl<$($name: WasmTy,)*> WasmValues for ($($name,)*) {
            fn types() -> Vec<ValType> {
                vec![$($name::valtype()),*]
            }
            #[inline]
            fn matches(types: &[ValType]) -> bool {
                let wanted: [ValType; $count] = [$($name::valtype()),*];
                types == wanted
            }
            #[inline]
            unsafe fn write_all(self, values: *mut u128, store: &mut StoreAccess<'_>) -> Result<()> {
                let ($($name,)*) = self;
                $(let $name = $name.write(store)?;)*
                // SAFETY: the caller's promise.
                $(unsafe { *values.add($index) = $name })*
                Ok(())
            }
            #[inline]
            unsafe fn read_all(values: *const u128, store: &mut StoreAccess<'_>) -> Self {
                // SAFETY: the caller's promise.
                ($($name::read(unsafe { *values.add($index) }, store),)*)
            }
        }

        #[allow(non_snake_case)]
        impl<T, F, R, $($name,)*> IntoFunc<T, ($($name,)*), R> for F
        where
            F: Fn($($name),*) -> R + Send + Sync + 'static,
            R: WasmRet + 'static,
            T: 'static,
            $($name: WasmTy + 'static,)*
        {
            type Params = ($($name,)*);
            #[inline]
            fn call(&self, _: Caller<'_, T>, ($($name,)*): Self::Params) -> R {
                self($($name),*)
            }
            fn into_host(self) -> IntoHost {
                IntoHost::new::<T, ($($name,)*), R, F>(self)
            }
        }

        #[allow(non_snake_case)]
        impl<T, F, R, $($name,)*> IntoFunc<T, (WithCaller, $($name,)*), R> for F
        where
            F: Fn(Caller<'_, T>, $($name),*) -> R + Send + Sync + 'static,
            R: WasmRet + 'static,
            T: 'static,
            $($name: WasmTy + 'static,)*
        {
            type Params = ($($name,)*);
            #[inline]
            fn call(&self, caller: Caller<'_, T>, ($($name,)*): Self::Params) -> R {
                self(caller, $($name),*)
            }
            fn into_host(self) -> IntoHost {
                IntoHost::new::<T, (WithCaller, $($name,)*), R, F>(self)
            }
        }
        )*
    };
}

shapes! {
    0;
    1 A1 0;
    2 A1 0 A2 1;
    3 A1 0 A2 1 A3 2;
    4 A1 0 A2 1 A3 2 A4 3;
    5 A1 0 A2 1 A3 2 A4 3 A5 4;
    6 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5;
    7 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6;
    8 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7;
    9 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8;
    10 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9;
    11 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10;
    12 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10 A12 11;
    13 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10 A12 11 A13 12;
    14 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10 A12 11 A13 12 A14 13;
    15 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10 A12 11 A13 12 A14 13 A15 14;
    16 A1 0 A2 1 A3 2 A4 3 A5 4 A6 5 A7 6 A8 7 A9 8 A10 9 A11 10 A12 11 A13 12 A14 13 A15 14 A16 15;
}

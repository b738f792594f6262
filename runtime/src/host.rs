//! Host functions: closures that Wasm can call.
//!
//! A closure is kept behind a pointer of no type, beside the one function that knows its type again: the
//! shim. The shim is called by an exit trampoline (or directly, if the host calls a host function), hands the closure
//! its arguments and a [`Caller`], and turns an error or a panic into a return value, so that no Rust frame
//! is ever skipped.

use crate::activation;
use crate::engine::Engine;
use crate::handle::Extern;
use crate::instance_data::InstanceData;
use crate::resolve::export_of;
use crate::store::{AsContext, AsContextMut, Failure, StoreContext, StoreContextMut, StoreData};
use crate::value::sealed::Context;
use crate::value::{Val, WasmTy};
use crate::vmctx::{HostCall, HostContext, Raw, VmContext};
use anyhow::{Result, bail};
use minirt_compiler::module::{FuncType, ValType};
use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

/// A closure with its type, ready to be imported.
#[derive(Clone)]
pub(crate) struct HostFunc {
    pub(crate) ty: FuncType,
    pub(crate) call: HostCall,
    pub(crate) data: *const u8,
    pub(crate) keep: Arc<dyn Any + Send + Sync>,
}

// SAFETY: `data` points into `keep`, which may be sent and shared; `call` is a function.
unsafe impl Send for HostFunc {}
// SAFETY: as above.
unsafe impl Sync for HostFunc {}

impl HostFunc {
    pub(crate) fn new<T, F: Body<T>>(ty: FuncType, body: F) -> Self {
        let body = Arc::new(body);
        Self { ty, call: shim::<T, F>, data: Arc::as_ptr(&body).cast(), keep: body }
    }

    pub(crate) fn context(&self, importer: Option<VmContext>) -> HostContext {
        HostContext { call: self.call, data: self.data, importer }
    }
}

/// What a host function knows about the call: the store, and the instance that imports the function.
pub struct Caller<'a, T> {
    store: StoreContextMut<'a, T>,
    importer: Option<VmContext>,
}

impl<T> Caller<'_, T> {
    /// The embedder's data.
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// The embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// The store's engine.
    pub fn engine(&self) -> &Engine {
        self.store.engine()
    }

    /// What is left of the store's fuel: [`Store::get_fuel`](crate::Store::get_fuel).
    ///
    /// # Errors
    /// When the engine was not configured to consume fuel.
    pub fn get_fuel(&self) -> Result<u64> {
        self.store.get_fuel()
    }

    /// Sets the store's fuel, also for what is running now: [`Store::set_fuel`](crate::Store::set_fuel).
    ///
    /// # Errors
    /// When the engine was not configured to consume fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.store.set_fuel(fuel)
    }

    /// An export of the instance that imports this function. `None` if there is none of that name, or if the
    /// function was called through a reference and no instance imports it.
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        // SAFETY: the importer is alive, since its store is, and nobody changes its description now.
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

/// A closure of one of the accepted shapes, called with its arguments in an array.
pub(crate) trait Body<T>: Send + Sync + 'static {
    /// # Safety
    /// `values` must hold arguments of the function's types, and have room for its results.
    unsafe fn call(&self, caller: Caller<'_, T>, values: *mut Raw) -> Result<()>;
}

/// Called by exit trampolines; `T` and `F` are those of the closure behind `context`.
unsafe extern "C" fn shim<T, F: Body<T>>(context: *const HostContext, values: *mut Raw, frame: *const usize) -> u32 {
    // SAFETY: a host function runs within an activation of its store, whose data is of the type that the closure
    // was made for; the store is used by nobody else until the closure returns. `context` is that of the closure.
    let (activation, store, context) = unsafe {
        let activation = activation::current();
        (*activation).exit_frame = frame;
        (activation, &mut *(*activation).store.cast::<StoreData<T>>(), &*context)
    };
    let failure = {
        let caller = Caller { store: StoreContextMut(&mut *store), importer: context.importer };
        // SAFETY: `data` is the address of the closure, kept alive by the store or its instance.
        let body = unsafe { &*context.data.cast::<F>() };
        // SAFETY: the trampoline's array holds arguments and has room for results of the function's type.
        Failure::catch(|| unsafe { body.call(caller, values) }).err()
    };
    // SAFETY: as above; the activation is this thread's innermost again.
    unsafe { (*activation).exit_frame = std::ptr::null() };
    let failed = failure.is_some();
    if failed {
        store.inner.failure = failure;
    }
    u32::from(failed)
}

/// A closure that takes and returns values of any type, for functions whose type is known at run time only.
pub(crate) struct Dynamic<F> {
    pub(crate) ty: FuncType,
    pub(crate) closure: F,
}

impl<T, F> Body<T> for Dynamic<F>
where
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
{
    unsafe fn call(&self, mut caller: Caller<'_, T>, values: *mut Raw) -> Result<()> {
        let (params, results) = (self.ty.params(), self.ty.results());
        let inner = &caller.store.0.inner;
        // SAFETY: the array holds as many arguments as the type has parameters.
        let raw = |i: usize| unsafe { *values.add(i) };
        let arguments: Vec<Val> = params.iter().enumerate().map(|(i, ty)| Val::from_raw(raw(i), *ty, inner)).collect();
        let mut returned: Vec<Val> = results.iter().map(|ty| Val::default_for_ty(*ty)).collect();
        let again = Caller { store: caller.store.as_context_mut(), importer: caller.importer };
        (self.closure)(again, &arguments, &mut returned)?;
        for (i, (value, ty)) in returned.into_iter().zip(results).enumerate() {
            if !value.matches(*ty, &caller.store.0.inner) {
                bail!("a host function returned {} as result {i}, where its type has {ty}", value.ty());
            }
            let raw = value.into_raw(&mut caller.store.0.inner)?;
            // SAFETY: the array has room for as many results as the type has.
            unsafe { *values.add(i) = raw }
        }
        Ok(())
    }
}

/// What a host function may return: nothing, one value, a tuple of values, or a `Result` of those.
pub trait WasmRet: sealed::Ret {
    #[doc(hidden)]
    type Ok: WasmResults;
    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Ok>;
}

/// Results that Rust types stand for: nothing, one value, or a tuple of values.
pub trait WasmResults: Sized {
    #[doc(hidden)]
    fn types() -> Vec<ValType>;
    /// Whether `types` are the types that the Rust types stand for.
    #[doc(hidden)]
    fn matches(types: &[ValType]) -> bool;
    /// # Safety
    /// `values` must have room for all of them.
    #[doc(hidden)]
    unsafe fn write_all(self, values: *mut u128, store: &mut Context<'_>) -> Result<()>;
    /// # Safety
    /// `values` must hold values of these types.
    #[doc(hidden)]
    unsafe fn read_all(values: *const u128, store: &mut Context<'_>) -> Self;
}

/// Parameters that Rust types stand for: the same shapes.
pub use self::WasmResults as WasmParams;

pub(crate) mod sealed {
    //! What keeps `WasmRet` ours.
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

impl<A: WasmTy> WasmResults for A {
    fn types() -> Vec<ValType> {
        vec![A::valtype()]
    }
    #[inline]
    fn matches(types: &[ValType]) -> bool {
        types == [A::valtype()]
    }
    #[inline]
    unsafe fn write_all(self, values: *mut u128, store: &mut Context<'_>) -> Result<()> {
        let bits = self.write(store)?;
        // SAFETY: the caller's promise.
        unsafe { *values = bits }
        Ok(())
    }
    #[inline]
    unsafe fn read_all(values: *const u128, store: &mut Context<'_>) -> Self {
        // SAFETY: the caller's promise.
        A::read(unsafe { *values }, store)
    }
}

/// A closure that host functions can be made from: `Fn(..) -> R` or `Fn(Caller<'_, T>, ..) -> R`, with up to 16
/// parameters of types that implement [`WasmTy`].
pub trait IntoFunc<T, P, R>: Send + Sync + 'static {
    #[doc(hidden)]
    fn into_host(self) -> IntoHost;
}

/// A host function on its way into a linker or store.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "closures have nothing to show")]
pub struct IntoHost(pub(crate) HostFunc);

/// A closure whose parameter types are known when it is compiled.
struct Typed<F, P, R> {
    closure: F,
    types: PhantomData<fn(P) -> R>,
}

/// Marks the closures that take a `Caller` first.
#[doc(hidden)]
#[derive(Debug)]
pub struct WithCaller;

macro_rules! shapes {
    ($($count:literal $($name:ident $index:literal)*;)*) => {
        $(
        shapes!(@results $count $($name $index)*);

        #[allow(non_snake_case, unused_variables, unused_mut)]
        impl<T, F, R, $($name,)*> Body<T> for Typed<F, ($($name,)*), R>
        where
            F: Fn($($name),*) -> R + Send + Sync + 'static,
            R: WasmRet + 'static,
            $($name: WasmTy + 'static,)*
        {
            #[inline]
            unsafe fn call(&self, mut caller: Caller<'_, T>, values: *mut Raw) -> Result<()> {
                let values = values.cast::<u128>();
                let mut store = Context(&mut caller.store.0.inner);
                // SAFETY: the array holds arguments of these types and has room for the results.
                unsafe {
                    $(let $name = $name::read(*values.add($index), &store);)*
                    (self.closure)($($name),*).into_result()?.write_all(values, &mut store)
                }
            }
        }

        #[allow(non_snake_case, unused_variables, unused_mut)]
        impl<T, F, R, $($name,)*> Body<T> for Typed<F, (WithCaller, $($name,)*), R>
        where
            F: Fn(Caller<'_, T>, $($name),*) -> R + Send + Sync + 'static,
            R: WasmRet + 'static,
            $($name: WasmTy + 'static,)*
        {
            #[inline]
            unsafe fn call(&self, mut caller: Caller<'_, T>, values: *mut Raw) -> Result<()> {
                let values = values.cast::<u128>();
                // SAFETY: the array holds arguments of these types and has room for the results.
                unsafe {
                    let store = Context(&mut caller.store.0.inner);
                    $(let $name = $name::read(*values.add($index), &store);)*
                    let again = Caller { store: caller.store.as_context_mut(), importer: caller.importer };
                    let results = (self.closure)(again, $($name),*).into_result()?;
                    results.write_all(values, &mut Context(&mut caller.store.0.inner))
                }
            }
        }

        impl<T, F, R, $($name,)*> IntoFunc<T, ($($name,)*), R> for F
        where
            F: Fn($($name),*) -> R + Send + Sync + 'static,
            R: WasmRet + 'static,
            T: 'static,
            $($name: WasmTy + 'static,)*
        {
            fn into_host(self) -> IntoHost {
                let ty = FuncType::new([$($name::valtype()),*], R::Ok::types());
                let body = Typed { closure: self, types: PhantomData::<fn(($($name,)*)) -> R> };
                IntoHost(HostFunc::new::<T, _>(ty, body))
            }
        }

        impl<T, F, R, $($name,)*> IntoFunc<T, (WithCaller, $($name,)*), R> for F
        where
            F: Fn(Caller<'_, T>, $($name),*) -> R + Send + Sync + 'static,
            R: WasmRet + 'static,
            T: 'static,
            $($name: WasmTy + 'static,)*
        {
            fn into_host(self) -> IntoHost {
                let ty = FuncType::new([$($name::valtype()),*], R::Ok::types());
                let body = Typed { closure: self, types: PhantomData::<fn((WithCaller, $($name,)*)) -> R> };
                IntoHost(HostFunc::new::<T, _>(ty, body))
            }
        }
        )*
    };
    (@results $count:literal $($name:ident $index:literal)*) => {
        #[allow(non_snake_case, unused_variables, clippy::unused_unit)]
        impl<$($name: WasmTy,)*> WasmResults for ($($name,)*) {
            fn types() -> Vec<ValType> {
                vec![$($name::valtype()),*]
            }
            #[inline]
            fn matches(types: &[ValType]) -> bool {
                let wanted: [ValType; $count] = [$($name::valtype()),*];
                types == wanted
            }
            #[inline]
            unsafe fn write_all(self, values: *mut u128, store: &mut Context<'_>) -> Result<()> {
                let ($($name,)*) = self;
                $(let $name = $name.write(store)?;)*
                // SAFETY: the caller's promise.
                $(unsafe { *values.add($index) = $name })*
                Ok(())
            }
            #[inline]
            unsafe fn read_all(values: *const u128, store: &mut Context<'_>) -> Self {
                // SAFETY: the caller's promise.
                ($($name::read(unsafe { *values.add($index) }, store),)*)
            }
        }
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

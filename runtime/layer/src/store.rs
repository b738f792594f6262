//! Stores, and access to them.

use crate::Engine;
use minirt::{AsContext as _, AsContextMut as _};
use ref_cast::RefCast;
use wasm_runtime_layer::backend::{AsContext, AsContextMut, WasmStore, WasmStoreContext, WasmStoreContextMut};

/// A store of minirt.
#[derive(Debug)]
pub struct Store<T>(minirt::Store<T>);

/// A store that is only read.
#[derive(Debug)]
pub struct StoreContext<'a, T>(pub(crate) minirt::StoreContext<'a, T>);

/// A store that is used.
#[derive(Debug)]
pub struct StoreContextMut<'a, T>(pub(crate) minirt::StoreContextMut<'a, T>);

macro_rules! as_context {
    ($($ty:ty,)*) => {
        $(impl<T: 'static> AsContext<Engine> for $ty {
            type UserState = T;

            fn as_context(&self) -> StoreContext<'_, T> {
                StoreContext(self.0.as_context())
            }
        })*
    };
}

as_context! { Store<T>, StoreContext<'_, T>, StoreContextMut<'_, T>, }

impl<T: 'static> AsContextMut<Engine> for Store<T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.0.as_context_mut())
    }
}

impl<T: 'static> AsContextMut<Engine> for StoreContextMut<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.0.as_context_mut())
    }
}

impl<T: 'static> WasmStore<T, Engine> for Store<T> {
    fn new(engine: &Engine, data: T) -> Self {
        Self(minirt::Store::new(&engine.0, data))
    }

    fn engine(&self) -> &Engine {
        Engine::ref_cast(self.0.engine())
    }

    fn data(&self) -> &T {
        self.0.data()
    }

    fn data_mut(&mut self) -> &mut T {
        self.0.data_mut()
    }

    fn into_data(self) -> T {
        self.0.into_data()
    }
}

impl<'a, T: 'static> WasmStoreContext<'a, T, Engine> for StoreContext<'a, T> {
    fn engine(&self) -> &Engine {
        Engine::ref_cast(self.0.engine())
    }

    fn data(&self) -> &T {
        self.0.data()
    }
}

impl<'a, T: 'static> WasmStoreContext<'a, T, Engine> for StoreContextMut<'a, T> {
    fn engine(&self) -> &Engine {
        Engine::ref_cast(self.0.engine())
    }

    fn data(&self) -> &T {
        self.0.data()
    }
}

impl<'a, T: 'static> WasmStoreContextMut<'a, T, Engine> for StoreContextMut<'a, T> {
    fn data_mut(&mut self) -> &mut T {
        self.0.data_mut()
    }
}

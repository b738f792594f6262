//! minirt as a backend of [`wasm_runtime_layer`], through which a program chooses its runtime.
//!
//! ```
//! use wasm_runtime_layer::{Engine, Imports, Instance, Module, Store, Val};
//!
//! # fn main() -> anyhow::Result<()> {
//! let engine = Engine::new(minirt_runtime_layer::Engine::default());
//! let mut store = Store::new(&engine, ());
//! let module = Module::new(&engine, &wat::parse_str(r#"(module
//!     (func (export "double") (param i32) (result i32) (i32.add (local.get 0) (local.get 0))))"#)?)?;
//! let instance = Instance::new(&mut store, &module, &Imports::default())?;
//! let double = instance.get_export(&store, "double").and_then(|it| it.into_func()).expect("a function");
//! let mut result = [Val::I32(0)];
//! double.call(&mut store, &[Val::I32(21)], &mut result)?;
//! assert_eq!(result, [Val::I32(42)]);
//! # Ok(())
//! # }
//! ```
//!
//! The layer knows numbers, vectors, `funcref` and `externref`, and sizes of 32 bits. What minirt
//! has beyond is shown as the nearest of these: any reference to a function as `funcref`, any other
//! as `externref`, a larger size as the largest. Values of such types are refused where they do not
//! fit.

mod object;
mod store;
mod value;

pub use object::{ExternRef, Func, Global, Instance, Memory, Module, Table};
pub use store::{Store, StoreContext, StoreContextMut};

use ref_cast::RefCast;
use wasm_runtime_layer::backend::WasmEngine;

/// An engine of minirt. Any configuration will do: `Engine::from(minirt::Engine::new(&config)?)`.
#[derive(Clone, Debug, Default, RefCast)]
#[repr(transparent)]
pub struct Engine(minirt::Engine);

impl From<minirt::Engine> for Engine {
    fn from(engine: minirt::Engine) -> Self {
        Self(engine)
    }
}

impl WasmEngine for Engine {
    type ExternRef = ExternRef;
    type Func = Func;
    type Global = Global;
    type Instance = Instance;
    type Memory = Memory;
    type Module = Module;
    type Store<T: 'static> = Store<T>;
    type StoreContext<'a, T: 'static> = StoreContext<'a, T>;
    type StoreContextMut<'a, T: 'static> = StoreContextMut<'a, T>;
    type Table = Table;
}

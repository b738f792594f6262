//! Instances in the embedder's hands: what they export.

use crate::func::{TypedFunc, WasmResults};
use crate::store::resolve::{export_of, func_of, handle_of};
use crate::store::{AsContext, Extern, Func, Global, Instance, Memory, Table};
use anyhow::{Context, Result, bail};
use minirt_compiler::module::{Entity, Export as ModuleExport, ExternType};

/// An export of an instance.
#[derive(Clone, Debug)]
pub struct Export {
    name: String,
    it: Extern,
}

impl Export {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type; memories and tables have their current size as the minimum.
    ///
    /// # Panics
    /// When it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        self.it.ty(store)
    }

    /// What it is.
    pub fn into_extern(self) -> Extern {
        self.it
    }

    /// The function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        self.it.into_func()
    }

    /// The global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        self.it.into_global()
    }

    /// The table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        self.it.into_table()
    }

    /// The memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        self.it.into_memory()
    }
}

impl Instance {
    /// The export with a name.
    ///
    /// # Panics
    /// When the instance belongs to another store; so do all the following.
    pub fn get_export(&self, store: impl AsContext, name: &str) -> Option<Extern> {
        let store = &store.as_context().0.inner;
        self.store.check(store.id);
        export_of(store, self.index, name)
    }

    /// The exported function with a name.
    pub fn get_func(&self, store: impl AsContext, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// The exported function with a name, with its type checked once for fast calls.
    ///
    /// # Errors
    /// When there is no function of that name, or its type is another.
    pub fn get_typed_func<P: WasmResults, R: WasmResults>(
        &self,
        store: impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<P, R>> {
        let store = &store.as_context().0.inner;
        self.store.check(store.id);
        let info = store.instance(self.index).prototype.info();
        let Some(Entity::Func(func)) = info.export(name) else { bail!("no function is exported as `{name}`") };
        let typed = func_of(store, self.index, func).typed_as(info.func_type(func), store);
        typed.with_context(|| format!("the export `{name}` can not be used"))
    }

    /// The exported memory with a name.
    pub fn get_memory(&self, store: impl AsContext, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// The exported global with a name.
    pub fn get_global(&self, store: impl AsContext, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// The exported table with a name.
    pub fn get_table(&self, store: impl AsContext, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// All exports, in the module's order.
    pub fn exports(&self, store: impl AsContext) -> std::vec::IntoIter<Export> {
        let store = &store.as_context().0.inner;
        self.store.check(store.id);
        let exports = &store.instance(self.index).prototype.info().exports;
        let export = |e: &ModuleExport| Export { name: e.name.clone(), it: handle_of(store, self.index, e.entity) };
        exports.iter().map(export).collect::<Vec<_>>().into_iter()
    }
}

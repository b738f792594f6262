//! Represents instances to the embedder: their exports.

use crate::func::{TypedFunc, WasmParams, WasmResults};
use crate::store::resolve::{export_of, func_of, handle_of};
use crate::store::{AsContext, Extern, Func, Global, Instance, Memory, Table, Tag};
use anyhow::{Context, Result, bail};
use minirt_compiler::Printable;
use minirt_compiler::module::{Entity, Export as ModuleExport, ExternType};

/// An export of an instance.
#[derive(Clone, Debug)]
pub struct Export {
    name: String,
    handle: Extern,
}

impl Export {
    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its type. Memories and tables have their current size as the minimum.
    ///
    /// # Panics
    /// Panics if it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        self.handle.ty(store)
    }

    /// Returns its handle.
    pub fn into_extern(self) -> Extern {
        self.handle
    }

    /// Returns the function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        self.handle.into_func()
    }

    /// Returns the global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        self.handle.into_global()
    }

    /// Returns the table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        self.handle.into_table()
    }

    /// Returns the memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        self.handle.into_memory()
    }
}

impl Instance {
    /// Returns an export, if there is one of this name.
    ///
    /// # Panics
    /// Panics if the instance belongs to another store. So do all methods below.
    pub fn get_export(&self, store: impl AsContext, name: &str) -> Option<Extern> {
        let store = &store.as_context().0.inner;
        self.store.assert_same_store(store.id);
        export_of(store, self.index, name)
    }

    /// Returns an exported function, if there is one of this name.
    pub fn get_func(&self, store: impl AsContext, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// Returns an exported function, with its type checked once for fast calls ([`Func::typed`]).
    ///
    /// # Errors
    /// Returns an error if no function of this name is exported, or it has another type.
    pub fn get_typed_func<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<P, R>> {
        let store = &store.as_context().0.inner;
        self.store.assert_same_store(store.id);
        let info = store.instance(self.index).prototype.info();
        let shown = Printable::new(name);
        let func = match info.export(name) {
            Some(Entity::Func(func)) => func,
            Some(other) => bail!("the export `{shown}` is {}, not a function", kind_of(other)),
            None => bail!("no function is exported as `{shown}`"),
        };
        let typed = func_of(store, self.index, func).typed_as(info.func_type(func), store);
        typed.with_context(|| format!("the export `{shown}` cannot be used"))
    }

    /// Returns an exported memory, if there is one of this name.
    pub fn get_memory(&self, store: impl AsContext, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// Returns an exported global, if there is one of this name.
    pub fn get_global(&self, store: impl AsContext, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// Returns an exported table, if there is one of this name.
    pub fn get_table(&self, store: impl AsContext, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// Returns an exported tag, if there is one of this name.
    pub fn get_tag(&self, store: impl AsContext, name: &str) -> Option<Tag> {
        self.get_export(store, name)?.into_tag()
    }

    /// Returns all exports, in the module's order.
    pub fn exports(&self, store: impl AsContext) -> std::vec::IntoIter<Export> {
        let store = &store.as_context().0.inner;
        self.store.assert_same_store(store.id);
        let exports = &store.instance(self.index).prototype.info().exports;
        let export = |e: &ModuleExport| Export { name: e.name.clone(), handle: handle_of(store, self.index, e.entity) };
        exports.iter().map(export).collect::<Vec<_>>().into_iter()
    }
}

fn kind_of(entity: Entity) -> &'static str {
    match entity {
        Entity::Func(_) => "a function",
        Entity::Table(_) => "a table",
        Entity::Memory(_) => "a memory",
        Entity::Global(_) => "a global",
        Entity::Tag(_) => "a tag",
    }
}

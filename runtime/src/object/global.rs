//! Represents globals to the embedder.

use crate::instance::Definition;
use crate::store::Global;
use crate::store::{AsContext, AsContextMut, StoreInner};
use crate::value::Val;
use crate::vmctx::Raw;
use anyhow::{Context, Result, ensure};
use minirt_compiler::module::GlobalType;

impl Global {
    /// Creates a global for instances to import. It takes an instance slot.
    ///
    /// # Errors
    /// Returns an error if `value` is not of the type, or there is no memory for the global.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Self> {
        let store = &mut store.as_context_mut().0.inner;
        ensure!(
            value.matches(ty.content, store)?,
            "a global of {} cannot hold {}",
            store.engine.shown(&ty.content),
            value.ty()
        );
        let global = Self { instance: Definition::Global(ty).instantiate(store)?, index: 0 };
        if !ty.mutable {
            // SAFETY: the instance is alive, and nobody else uses its description.
            unsafe { store.instances[global.instance.index as usize].as_mut() }
                .slot
                .make_constants_writable()
                .context("could not make the global writable")?;
        }
        global.write(store, value)?;
        Ok(global)
    }

    fn write(&self, store: &mut StoreInner, value: Val) -> Result<()> {
        let content = self.type_in(store).content;
        let cell = self.cell(store);
        let Raw(bits) = value.into_raw(store)?;
        store.touched = true;
        // SAFETY: the cell is part of a live instance's state, and as large as its type needs.
        unsafe { cell.write(content, bits) }
        Ok(())
    }

    /// Returns its type.
    ///
    /// # Panics
    /// Panics if the global belongs to another store. So do all methods below.
    pub fn ty(&self, store: impl AsContext) -> GlobalType {
        self.type_in(&store.as_context().0.inner)
    }

    /// Returns its value.
    pub fn get(&self, store: impl AsContext) -> Val {
        let store = &store.as_context().0.inner;
        let cell = self.cell(store);
        let content = self.type_in(store).content;
        // SAFETY: the cell is part of a live instance's state, and as large as its type needs.
        Val::from_raw(Raw(unsafe { cell.read(content) }), content, store)
    }

    /// Changes its value.
    ///
    /// # Errors
    /// Returns an error if the global is not mutable, or `value` is not of its type.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        let store = &mut store.as_context_mut().0.inner;
        let ty = self.type_in(store);
        ensure!(ty.mutable, "the global is immutable");
        ensure!(
            value.matches(ty.content, store)?,
            "a global of {} cannot hold {}",
            store.engine.shown(&ty.content),
            value.ty()
        );
        self.write(store, value)
    }
}

//! Tags, as the embedder uses them.

use crate::instance::Definition;
use crate::store::{AsContext, AsContextMut, Tag};
use anyhow::{Result, ensure};
use minirt_compiler::module::TagType;

impl Tag {
    /// Creates a tag for instances to import. It takes an instance slot.
    ///
    /// # Errors
    /// Returns an error if the type has results, or there is no memory for the tag.
    pub fn new(mut store: impl AsContextMut, ty: &TagType) -> Result<Self> {
        let store = &mut store.as_context_mut().0.inner;
        ensure!(ty.ty().results().is_empty(), "a tag of `{}` cannot have results", store.engine.shown(ty.ty()));
        let number = store.engine.type_number(ty.ty());
        Ok(Self { instance: Definition::Tag(number).instantiate(store)?, index: 0 })
    }

    /// Returns its type.
    ///
    /// # Panics
    /// Panics if the tag belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> TagType {
        self.type_in(&store.as_context().0.inner)
    }

    /// Returns whether both are the same tag, through however many instances each was imported.
    ///
    /// # Panics
    /// Panics if one of them belongs to another store.
    pub fn eq(a: &Self, b: &Self, store: impl AsContext) -> bool {
        let store = &store.as_context().0.inner;
        a.number(store) == b.number(store)
    }
}

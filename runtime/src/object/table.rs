//! Represents tables to the embedder.

use crate::instance::Definition;
use crate::ops::bulk;
use crate::ops::grow;
use crate::store::Table;
use crate::store::{AsContext, AsContextMut};
use crate::value::Ref;
use anyhow::{Result, anyhow, ensure};
use minirt_compiler::module::TableType;
use minirt_compiler::module::canonical::NumberedTypes;

impl Table {
    /// Creates a table for instances to import, filled with `init`. It takes an instance slot.
    ///
    /// # Errors
    /// Returns an error if the type is invalid (its minimum is greater than its maximum, for
    /// example) or asks for more elements than are possible, `init` does not fit it, the store's
    /// limiter refuses it, or there is no memory for it.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Ref) -> Result<Self> {
        let store = &mut store.as_context_mut().0.inner;
        let element = ty.element;
        let shown = || store.engine.shown(&element);
        ensure!(init.matches(element, store)?, "the initial element does not fit a table of {}", shown());
        let table = Self { instance: Definition::Table(ty).instantiate(store)?, index: 0 };
        let value = init.into_raw(store)?;
        // SAFETY: the instance is alive, and the range is the whole table.
        unsafe { bulk::table_fill(table.space(store), 0, value, ty.minimum) }?;
        store.touched = true;
        Ok(table)
    }

    /// Returns its type, with its current size as the minimum.
    ///
    /// # Panics
    /// Panics if the table belongs to another store. So do all methods below.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        self.type_in(&store.as_context().0.inner)
    }

    /// Returns its size in elements.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.space(&store.as_context().0.inner).len()
    }

    /// Returns an element; `None` beyond the end.
    pub fn get(&self, store: impl AsContext, index: u64) -> Option<Ref> {
        let store = &store.as_context().0.inner;
        let space = self.space(store);
        // SAFETY: the instance is alive.
        let word = unsafe { bulk::table_get(space, index) }.ok()?;
        Some(Ref::from_raw(word, self.type_in(store).element.heap, store))
    }

    /// Changes an element.
    ///
    /// # Errors
    /// Returns an error if the index is beyond the end, or the value does not fit.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Ref) -> Result<()> {
        let store = &mut store.as_context_mut().0.inner;
        let space = self.space(store);
        let element = self.type_in(store).element;
        ensure!(value.matches(element, store)?, "the value does not fit a table of {}", store.engine.shown(&element));
        let word = value.into_raw(store)?;
        store.touched = true;
        // SAFETY: the instance is alive.
        unsafe { bulk::table_fill(space, index, word, 1) }
            .map_err(|_| anyhow!("index {index} is beyond the table's {} elements", space.len()))
    }

    /// Sets `len` elements from `index` on to a value.
    ///
    /// # Errors
    /// Returns an error if one of them is beyond the end, or the value does not fit. Nothing is
    /// changed then.
    pub fn fill(&self, mut store: impl AsContextMut, index: u64, value: Ref, len: u64) -> Result<()> {
        let store = &mut store.as_context_mut().0.inner;
        let space = self.space(store);
        let element = self.type_in(store).element;
        ensure!(value.matches(element, store)?, "the value does not fit a table of {}", store.engine.shown(&element));
        let word = value.into_raw(store)?;
        store.touched = true;
        // SAFETY: the instance is alive.
        unsafe { bulk::table_fill(space, index, word, len) }
            .map_err(|_| anyhow!("{len} elements from index {index} on are not all in a table of {}", space.len()))
    }

    /// Copies `len` elements of `src`, from `src_index` on, to `dst`, from `dst_index` on. Both may
    /// be the same table, and the ranges may overlap.
    ///
    /// # Errors
    /// Returns an error if one of them is beyond the end of its table, or elements of `src` do not
    /// fit `dst`. Nothing is changed then.
    pub fn copy(
        mut store: impl AsContextMut,
        dst: &Self,
        dst_index: u64,
        src: &Self,
        src_index: u64,
        len: u64,
    ) -> Result<()> {
        let store = &mut store.as_context_mut().0.inner;
        let (to, from) = (dst.space(store), src.space(store));
        let (wanted, found) = (dst.type_in(store).element, src.type_in(store).element);
        let fits = store.engine.types().ref_matches(found, wanted);
        let shown = |ty| store.engine.shown(&ty);
        ensure!(fits, "elements of a table of {} do not fit a table of {}", shown(found), shown(wanted));
        store.touched = true;
        // SAFETY: both instances are alive.
        unsafe { bulk::table_copy(to, dst_index, from, src_index, len) }.map_err(|_| {
            anyhow!(
                "{len} elements from index {src_index} of {} to index {dst_index} of {} are not all in the tables",
                from.len(),
                to.len()
            )
        })
    }

    /// Adds `delta` elements of a value, and returns how many elements there were.
    ///
    /// # Errors
    /// Returns an error if the table's type, the store's limiter or minirt's limit does not allow
    /// that many, or the value does not fit.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64, value: Ref) -> Result<u64> {
        let store = &mut store.as_context_mut().0.inner;
        let space = self.space(store);
        let element = self.type_in(store).element;
        ensure!(value.matches(element, store)?, "the value does not fit a table of {}", store.engine.shown(&element));
        let word = value.into_raw(store)?;
        store.touched = true;
        // SAFETY: the instance is alive.
        unsafe { grow::table_grow(store, space, word, delta) }?
            .ok_or_else(|| anyhow!("the table of {} elements cannot grow by {delta}", space.len()))
    }
}

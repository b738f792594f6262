//! Represents structures to the embedder.

use super::contents::{Allocator, header, in_type, is_of, read, write_value};
use crate::store::{AsContext, AsContextMut, Rooted, StoreInner, StructRef};
use crate::value::Val;
use anyhow::{Context, Result, ensure, format_err};
use minirt_compiler::instance::layout::object::{field_offset, field_offsets};
use minirt_compiler::module::{FieldType, StructType};

/// The type of structures that the embedder makes, ready for use. It serves all stores of an
/// engine.
#[derive(Debug)]
pub struct StructRefPre(Allocator<StructType>);

impl StructRefPre {
    /// Prepares a type.
    ///
    /// # Panics
    /// Panics if the type belongs to another engine than the store's.
    pub fn new(store: impl AsContext, ty: StructType) -> Self {
        Self(Allocator::new(&store.as_context().0.inner, ty))
    }
}

impl StructRef {
    /// Makes a structure. A packed field takes the lowest bits of an `i32`.
    ///
    /// # Errors
    /// Returns an error if there are more or fewer values than fields, or one does not fit; if the
    /// type was prepared for another engine, or its engine has no garbage collection
    /// ([`Config::wasm_gc`](crate::Config::wasm_gc)); what the store's limiter fails with; and
    /// [`Trap::GcHeapOutOfMemory`](crate::Trap::GcHeapOutOfMemory).
    pub fn new(mut store: impl AsContextMut, allocator: &StructRefPre, fields: &[Val]) -> Result<Rooted<Self>> {
        let store = &mut store.as_context_mut().0.inner;
        let word = allocator.0.structure(store, fields)?;
        Ok(Rooted::of(store.root_mut(word)))
    }

    /// Returns its type.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or may not be used any more
    /// ([`Rooted`]). So do all methods below.
    pub fn ty(&self, store: impl AsContext) -> Result<StructType> {
        let store = &store.as_context().0.inner;
        in_type(store, header(store, store.word(self.root)?)?, |ty| ty.as_struct().cloned())
    }

    /// Returns whether it is of a type, or of one that extends it.
    ///
    /// # Errors
    /// See [`StructRef::ty`].
    ///
    /// # Panics
    /// Panics if the type belongs to another engine.
    pub fn matches_ty(&self, store: impl AsContext, ty: &StructType) -> Result<bool> {
        let store = &store.as_context().0.inner;
        Ok(is_of(store, header(store, store.word(self.root)?)?, ty.clone()))
    }

    /// Returns where a field is, and its type.
    fn place(&self, store: &StoreInner, index: usize) -> Result<(u64, FieldType)> {
        let word = store.word(self.root)?;
        let (field, len) = in_type(store, header(store, word)?, |ty| {
            let ty = ty.as_struct()?;
            Some((ty.field(index).zip(field_offset(ty, index)), ty.fields().len()))
        })?;
        let (ty, at) = field.ok_or_else(|| format_err!("there is no field {index}: the structure has {len}"))?;
        Ok((word + at, ty))
    }

    /// Returns the value of a field. A packed integer has no sign: its upper bits are zero.
    ///
    /// # Errors
    /// Returns an error if there is no such field, and see [`StructRef::ty`].
    pub fn field(&self, store: impl AsContext, index: usize) -> Result<Val> {
        let store = &store.as_context().0.inner;
        let (at, ty) = self.place(store, index)?;
        read(store, at, ty.element)
    }

    /// Returns the values of all fields, in order.
    ///
    /// # Errors
    /// See [`StructRef::ty`].
    pub fn fields(&self, store: impl AsContext) -> Result<impl ExactSizeIterator<Item = Val>> {
        let store = &store.as_context().0.inner;
        let word = store.word(self.root)?;
        let places = in_type(store, header(store, word)?, |ty| {
            let ty = ty.as_struct()?;
            Some(field_offsets(ty).into_iter().zip(ty.fields().to_vec()).collect::<Vec<_>>())
        })?;
        let values = places.into_iter().map(|(at, ty)| read(store, word + at, ty.element));
        Ok(values.collect::<Result<Vec<Val>>>()?.into_iter())
    }

    /// Changes a field. A packed one takes the lowest bits of an `i32`.
    ///
    /// # Errors
    /// Returns an error if there is no such field, it is immutable, or the value does not fit; and
    /// see [`StructRef::ty`].
    pub fn set_field(&self, mut store: impl AsContextMut, index: usize, value: Val) -> Result<()> {
        let store = &mut store.as_context_mut().0.inner;
        let (at, ty) = self.place(store, index)?;
        ensure!(ty.mutable, "field {index} of the structure is immutable");
        write_value(store, at, ty.element, value).with_context(|| format!("field {index} of the structure"))
    }
}

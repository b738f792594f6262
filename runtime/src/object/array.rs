//! Represents arrays to the embedder.

use super::contents::{Allocator, Elements, header, in_type, is_of, read, read_bytes, write_value};
use crate::store::{ArrayRef, AsContext, AsContextMut, Rooted, StoreContextMut, StoreInner};
use crate::value::Val;
use anyhow::{Context, Result, ensure};
use minirt_compiler::instance::layout::object::{FIELDS, storage_size};
use minirt_compiler::module::{ArrayType, FieldType};

/// The type of arrays that the embedder makes, ready for use. It serves all stores of an engine.
#[derive(Debug)]
pub struct ArrayRefPre(Allocator<ArrayType>);

impl ArrayRefPre {
    /// Prepares a type.
    ///
    /// # Panics
    /// Panics if the type belongs to another engine than the store's.
    pub fn new(store: impl AsContext, ty: ArrayType) -> Self {
        Self(Allocator::new(&store.as_context().0.inner, ty))
    }
}

/// An array as it is at the moment.
#[derive(Clone, Copy)]
struct Now {
    /// Where the first element is.
    first: u64,
    len: u32,
    field: FieldType,
}

impl Now {
    /// Returns where an element is, which there must be.
    fn place(&self, index: u32) -> u64 {
        self.first + u64::from(index) * storage_size(self.field.element)
    }
}

impl ArrayRef {
    fn make(mut store: impl AsContextMut, allocator: &ArrayRefPre, elements: Elements<'_>) -> Result<Rooted<Self>> {
        let store = &mut store.as_context_mut().0.inner;
        let word = allocator.0.array(store, elements)?;
        Ok(Rooted::of(store.root_mut(word)))
    }

    /// Makes an array of `len` elements that all have one value. A packed element takes the lowest
    /// bits of an `i32`.
    ///
    /// # Errors
    /// Returns an error if the value does not fit; if the type was prepared for another engine, or
    /// its engine has no garbage collection ([`Config::wasm_gc`](crate::Config::wasm_gc)); what the
    /// store's limiter fails with; and
    /// [`Trap::GcHeapOutOfMemory`](crate::Trap::GcHeapOutOfMemory).
    pub fn new(store: impl AsContextMut, allocator: &ArrayRefPre, elem: &Val, len: u32) -> Result<Rooted<Self>> {
        Self::make(store, allocator, Elements::Repeat(elem, len))
    }

    /// Makes an array of these elements.
    ///
    /// # Errors
    /// The same as [`ArrayRef::new`].
    pub fn new_fixed(store: impl AsContextMut, allocator: &ArrayRefPre, elems: &[Val]) -> Result<Rooted<Self>> {
        Self::make(store, allocator, Elements::Values(elems))
    }

    /// Makes an array of these bytes. The type's elements must be `i8`.
    ///
    /// # Errors
    /// The same as [`ArrayRef::new`].
    pub fn new_from_i8_slice(store: impl AsContextMut, allocator: &ArrayRefPre, elems: &[u8]) -> Result<Rooted<Self>> {
        Self::make(store, allocator, Elements::Bytes(elems))
    }

    /// Returns its type.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or may not be used any more
    /// ([`Rooted`]). So do all methods below.
    pub fn ty(&self, store: impl AsContext) -> Result<ArrayType> {
        let store = &store.as_context().0.inner;
        in_type(store, header(store, store.word(self.root)?)?, |ty| ty.as_array().cloned())
    }

    /// Returns whether it is of a type, or of one that extends it.
    ///
    /// # Errors
    /// See [`ArrayRef::ty`].
    ///
    /// # Panics
    /// Panics if the type belongs to another engine.
    pub fn matches_ty(&self, store: impl AsContext, ty: &ArrayType) -> Result<bool> {
        let store = &store.as_context().0.inner;
        Ok(is_of(store, header(store, store.word(self.root)?)?, ty.clone()))
    }

    fn now(&self, store: &StoreInner) -> Result<Now> {
        let word = store.word(self.root)?;
        let header = header(store, word)?;
        let field = in_type(store, header, |ty| ty.as_array().map(ArrayType::field_type))?;
        Ok(Now { first: word + FIELDS, len: header.len, field })
    }

    fn element(&self, store: &StoreInner, index: u32) -> Result<(u64, FieldType)> {
        let now = self.now(store)?;
        ensure!(index < now.len, "there is no element {index}: the array has {}", now.len);
        Ok((now.place(index), now.field))
    }

    /// Returns how many elements it has.
    ///
    /// # Errors
    /// See [`ArrayRef::ty`].
    pub fn len(&self, store: impl AsContext) -> Result<u32> {
        Ok(self.now(&store.as_context().0.inner)?.len)
    }

    /// Returns an element. A packed integer has no sign: its upper bits are zero.
    ///
    /// # Errors
    /// Returns an error if there is no such element, and see [`ArrayRef::ty`].
    pub fn get(&self, store: impl AsContext, index: u32) -> Result<Val> {
        let store = &store.as_context().0.inner;
        let (at, field) = self.element(store, index)?;
        read(store, at, field.element)
    }

    /// Returns the elements one by one, in order.
    ///
    /// # Errors
    /// See [`ArrayRef::ty`].
    pub fn elems<'a, T: 'a>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> Result<impl ExactSizeIterator<Item = Val> + 'a> {
        let StoreContextMut(store) = store.into();
        let store = &store.inner;
        let now = self.now(store)?;
        // The store is lent to the iterator, so nothing in the heap moves or ends meanwhile.
        let element = move |index| read(store, now.place(index), now.field.element);
        Ok((0..now.len).map(move |index| element(index).expect("the array has the element")))
    }

    /// Copies all elements, which must be `i8` and as many as `dst` has room for.
    ///
    /// # Errors
    /// Returns an error if they are not, and see [`ArrayRef::ty`].
    pub fn copy_to_i8_slice(&self, store: impl AsContext, dst: &mut [u8]) -> Result<()> {
        let store = &store.as_context().0.inner;
        let now = self.now(store)?;
        ensure!(now.field.element.is_i8(), "elements of the type {} are not bytes", now.field.element);
        ensure!(dst.len() == now.len as usize, "{} bytes were asked for, but the array has {}", dst.len(), now.len);
        read_bytes(store, now.first, dst)
    }

    /// Changes an element. A packed one takes the lowest bits of an `i32`.
    ///
    /// # Errors
    /// Returns an error if there is no such element, elements are immutable, or the value does not
    /// fit; and see [`ArrayRef::ty`].
    pub fn set(&self, mut store: impl AsContextMut, index: u32, value: Val) -> Result<()> {
        let store = &mut store.as_context_mut().0.inner;
        let (at, field) = self.element(store, index)?;
        ensure!(field.mutable, "the elements of the array are immutable");
        write_value(store, at, field.element, value).with_context(|| format!("element {index} of the array"))
    }
}

//! Exceptions, as the embedder uses them.

use crate::call::unwind;
use crate::store::{AsContext, AsContextMut, ExnRef, Rooted, Store, StoreContextMut, StoreInner, Tag};
use crate::value::Val;
use crate::vmctx::Raw;
use anyhow::{Result, bail, ensure, format_err};
use minirt_compiler::Trap;
use minirt_compiler::module::{TagType, ValType};

/// The type of exceptions: that of their tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExnType {
    tag: TagType,
}

impl ExnType {
    /// Returns the type of exceptions with a tag of this type.
    pub fn from_tag_type(tag: &TagType) -> Self {
        Self { tag: tag.clone() }
    }

    /// Returns the type of their tags.
    pub fn tag_type(&self) -> &TagType {
        &self.tag
    }

    /// Returns the types of what they carry.
    pub fn fields(&self) -> &[ValType] {
        self.tag.ty().params()
    }
}

/// Makes exceptions of one type. It exists for programs that were written for wasmtime.
#[derive(Clone, Debug)]
pub struct ExnRefPre {
    ty: ExnType,
}

impl ExnRefPre {
    /// Makes it for exceptions of a type.
    pub fn new(_store: impl AsContextMut, ty: ExnType) -> Self {
        Self { ty }
    }
}

impl ExnRef {
    /// Creates an exception, to be thrown with [`Store::throw`](crate::Store::throw) or handed to
    /// Wasm.
    ///
    /// # Errors
    /// Returns an error if the values are not of the types that the tag asks for; or
    /// [`Trap::ExceptionsExhausted`](crate::Trap::ExceptionsExhausted).
    ///
    /// # Panics
    /// Panics if the tag belongs to another store.
    pub fn new(mut store: impl AsContextMut, pre: &ExnRefPre, tag: &Tag, fields: &[Val]) -> Result<Rooted<Self>> {
        let store = &mut store.as_context_mut().0.inner;
        let ty = tag.type_in(store);
        ensure!(pre.ty.tag == ty, "an exception of {} cannot have a tag of {ty}", pre.ty.tag);
        let types = ty.ty().params();
        ensure!(types.len() == fields.len(), "an exception of {ty} cannot carry {} values", fields.len());
        let mut carried = Vec::with_capacity(fields.len());
        for (index, (value, ty)) in fields.iter().zip(types).enumerate() {
            if !value.matches(*ty, store)? {
                bail!(
                    "value {index} of the exception is {}, but its tag asks for {}",
                    value.ty(),
                    store.engine.shown(ty)
                );
            }
            carried.push(value.into_raw(store)?);
        }
        let number = tag.number(store);
        match unwind::new_from_host(store, number, types, &carried) {
            Some(reference) => Ok(store.exception_handle(reference)),
            None => Err(Trap::ExceptionsExhausted.into()),
        }
    }

    /// Returns its tag.
    ///
    /// # Errors
    /// Returns an error if the exception belongs to another store, or the handle may not be used
    /// any more ([`Rooted`]). So do the other methods.
    pub fn tag(&self, store: impl AsContext) -> Result<Tag> {
        let store = &store.as_context().0.inner;
        Ok(Tag::of_number(store, store.exception(self)?.tag))
    }

    /// Returns its type.
    ///
    /// # Errors
    /// As for [`ExnRef::tag`].
    pub fn ty(&self, store: impl AsContext) -> Result<ExnType> {
        let store = &store.as_context().0.inner;
        Ok(ExnType { tag: Tag::of_number(store, store.exception(self)?.tag).type_in(store) })
    }

    /// Returns one of the values that it carries.
    ///
    /// # Errors
    /// Also returns an error if there is no value with this index.
    pub fn field(&self, mut store: impl AsContextMut, index: usize) -> Result<Val> {
        let store = &mut store.as_context_mut().0.inner;
        let values = self.values(store)?;
        let (len, value) = (values.len(), values.into_iter().nth(index));
        let (ty, raw) = value.ok_or_else(|| format_err!("the exception carries {len} values, and none at {index}"))?;
        Ok(Val::from_raw(raw, ty, store))
    }

    /// Returns the values that it carries.
    ///
    /// # Errors
    /// As for [`ExnRef::tag`].
    pub fn fields(&self, mut store: impl AsContextMut) -> Result<impl ExactSizeIterator<Item = Val>> {
        let store = &mut store.as_context_mut().0.inner;
        let values = self.values(store)?;
        let values: Vec<Val> = values.into_iter().map(|(ty, raw)| Val::from_raw(raw, ty, store)).collect();
        Ok(values.into_iter())
    }

    fn values(&self, store: &StoreInner) -> Result<Vec<(ValType, Raw)>> {
        let exception = store.exception(self)?;
        let ty = Tag::of_number(store, exception.tag).type_in(store);
        Ok(ty.ty().params().iter().copied().zip(exception.carried.iter().copied()).collect())
    }
}

impl<T> Store<T> {
    /// Collects the structures, arrays, exceptions and values of the host to which nothing refers
    /// any more. That also happens by itself, when there are many. It takes time in proportion to
    /// what is left.
    ///
    /// # Panics
    /// Panics with the panic of a value that is dropped.
    pub fn gc(&mut self) {
        self.as_context_mut().gc();
    }
}

impl<T> StoreContextMut<'_, T> {
    /// Does the same as [`Store::gc`].
    pub fn gc(&mut self) {
        unwind::collect(&mut self.0.inner);
    }
}

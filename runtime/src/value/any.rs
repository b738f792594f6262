//! Represents references to what is `any` (structures, arrays and small integers) on the host's side.

use crate::store::{AnyRef, AsContext, AsContextMut, ExternRef, Rooted, StoreInner};
use anyhow::Result;
use minirt_compiler::instance::layout::object::TAG_MASK;
use minirt_compiler::module::HeapType;
use minirt_compiler::module::canonical::NumberedTypes;

/// An integer of 31 bits, which a reference holds instead of pointing to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct I31(u32);

impl I31 {
    /// Returns the integer, if it fits 31 bits.
    pub const fn new_u32(value: u32) -> Option<Self> {
        if value >> 31 == 0 { Some(Self(value)) } else { None }
    }

    /// Returns the integer, if it fits 31 bits with its sign.
    pub const fn new_i32(value: i32) -> Option<Self> {
        let fitting = Self::wrapping_i32(value);
        if fitting.get_i32() == value { Some(fitting) } else { None }
    }

    /// Returns the integer without its highest bit.
    pub const fn wrapping_u32(value: u32) -> Self {
        Self(value & u32::MAX >> 1)
    }

    /// Returns the integer without its highest bit.
    pub const fn wrapping_i32(value: i32) -> Self {
        Self::wrapping_u32(value as u32)
    }

    /// Returns the reference as Wasm holds it.
    pub(crate) fn word(self) -> u64 {
        u64::from(self.0) << 1 | 1
    }

    /// Returns the integer that a reference holds, if it holds one.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        (word & 1 == 1).then_some(Self(word as u32 >> 1))
    }

    /// Returns it as an unsigned integer.
    pub const fn get_u32(self) -> u32 {
        self.0
    }

    /// Returns it as a signed integer.
    pub const fn get_i32(self) -> i32 {
        ((self.0 << 1) as i32) >> 1
    }
}

impl AnyRef {
    /// Makes a reference of a small integer. It has no scope.
    pub fn from_i31(mut store: impl AsContextMut, value: I31) -> Rooted<Self> {
        let store = &mut store.as_context_mut().0.inner;
        Rooted::of(store.root_mut(value.word()))
    }

    /// Makes a reference in the hierarchy of `any` of an external one, as `any.convert_extern` does.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or may not be used any more.
    pub fn convert_extern(store: impl AsContext, value: Rooted<ExternRef>) -> Result<Rooted<Self>> {
        let store = &store.as_context().0.inner;
        Ok(Rooted::of(store.root(store.word(value.root)?)))
    }

    /// Returns whether it is a small integer.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or may not be used any more
    /// ([`Rooted`]). So do the methods below.
    pub fn is_i31(&self, store: impl AsContext) -> Result<bool> {
        self.as_i31(store).map(|value| value.is_some())
    }

    /// Returns the small integer, if it is one.
    ///
    /// # Errors
    /// See [`AnyRef::is_i31`].
    pub fn as_i31(&self, store: impl AsContext) -> Result<Option<I31>> {
        Ok(I31::from_word(store.as_context().0.inner.word(self.root)?))
    }

    /// Returns the small integer.
    ///
    /// # Errors
    /// See [`AnyRef::is_i31`].
    ///
    /// # Panics
    /// Panics if it is something else.
    pub fn unwrap_i31(&self, store: impl AsContext) -> Result<I31> {
        self.as_i31(store).map(|value| value.expect("the reference is a small integer"))
    }

    /// Returns whether it is a structure.
    ///
    /// # Errors
    /// See [`AnyRef::is_i31`].
    pub fn is_struct(&self, store: impl AsContext) -> Result<bool> {
        self.is(HeapType::Struct, store)
    }

    /// Returns whether it is an array.
    ///
    /// # Errors
    /// See [`AnyRef::is_i31`].
    pub fn is_array(&self, store: impl AsContext) -> Result<bool> {
        self.is(HeapType::Array, store)
    }

    /// Returns whether it can be compared: whether it is anything but a value of the host.
    ///
    /// # Errors
    /// See [`AnyRef::is_i31`].
    pub fn is_eqref(&self, store: impl AsContext) -> Result<bool> {
        self.is(HeapType::Eq, store)
    }

    fn is(&self, heap: HeapType, store: impl AsContext) -> Result<bool> {
        let store = &store.as_context().0.inner;
        Ok(any_matches(store.word(self.root)?, heap, store))
    }

    /// Returns the most special type that it has.
    ///
    /// # Errors
    /// See [`AnyRef::is_i31`].
    pub fn ty(&self, store: impl AsContext) -> Result<HeapType> {
        let store = &store.as_context().0.inner;
        Ok(any_type(store.word(self.root)?, store))
    }
}

/// Returns the most special type that a reference in the hierarchy of `any` has. `word` is not null.
pub(crate) fn any_type(word: u64, store: &StoreInner) -> HeapType {
    let header = store.heap.as_ref().and_then(|heap| heap.header(word as u32));
    match (word as u32 & TAG_MASK, header) {
        (tag, _) if tag & 1 == 1 => HeapType::I31,
        (0, Some(header)) if header.is_array => HeapType::ConcreteArray(header.ty),
        (0, Some(header)) => HeapType::ConcreteStruct(header.ty),
        _ => HeapType::Any,
    }
}

/// Returns whether a reference in the hierarchy of `any` can be used where one to `heap` is expected.
pub(super) fn any_matches(word: u64, heap: HeapType, store: &StoreInner) -> bool {
    let own = any_type(word, store);
    own == heap || store.engine.types().heap_matches(own, heap)
}

//! Represents references to what is `any` (structures, arrays and small integers) on the host's
//! side.

use crate::store::{
    AnyRef, ArrayRef, AsContext, AsContextMut, EqRef, ExternRef, GcRef, Root, Rooted, StoreInner, StructRef,
};
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
    /// Makes a reference in the hierarchy of `any` of an external one, as `any.convert_extern`
    /// does.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or may not be used any more.
    pub fn convert_extern(store: impl AsContext, value: Rooted<ExternRef>) -> Result<Rooted<Self>> {
        let store = &store.as_context().0.inner;
        Ok(Rooted::of(store.root(store.word(value.root())?)))
    }

    /// Returns whether it can be compared: whether it is anything but a value of the host.
    ///
    /// # Errors
    /// See [`AnyRef::ty`].
    pub fn is_eqref(&self, store: impl AsContext) -> Result<bool> {
        self.matches_ty(store, &HeapType::Eq)
    }

    /// Returns the same as what can be compared, if it can.
    ///
    /// # Errors
    /// See [`AnyRef::ty`].
    pub fn as_eqref(&self, store: impl AsContext) -> Result<Option<Rooted<EqRef>>> {
        as_one(self.root, HeapType::Eq, store)
    }

    /// Returns the same as what can be compared.
    ///
    /// # Errors
    /// See [`AnyRef::ty`].
    ///
    /// # Panics
    /// Panics if it cannot be compared.
    pub fn unwrap_eqref(&self, store: impl AsContext) -> Result<Rooted<EqRef>> {
        self.as_eqref(store).map(|found| found.expect("the reference is to what can be compared"))
    }
}

/// Returns a reference as one to something more special, if it is one to `heap`.
fn as_one<T: GcRef>(root: Root, heap: HeapType, store: impl AsContext) -> Result<Option<Rooted<T>>> {
    let store = &store.as_context().0.inner;
    let word = store.word(root)?;
    Ok(any_matches(word, heap, store).then(|| Rooted::of(store.root(word))))
}

macro_rules! any_and_eq {
    ($($name:ident)*) => {
        $(impl $name {
            /// Makes a reference of a small integer. It has no scope, and is never stale.
            pub fn from_i31(mut store: impl AsContextMut, value: I31) -> Rooted<Self> {
                let store = &mut store.as_context_mut().0.inner;
                Rooted::of(store.root_mut(value.word()))
            }

            /// Returns the most special type that it has.
            ///
            /// # Errors
            /// Returns an error if the reference belongs to another store, or may not be used any
            /// more ([`Rooted`]). So do the other methods.
            pub fn ty(&self, store: impl AsContext) -> Result<HeapType> {
                let store = &store.as_context().0.inner;
                Ok(any_type(store.word(self.root)?, store))
            }

            /// Returns whether it can be used where a reference to `ty` is expected.
            ///
            /// # Errors
            #[doc = concat!("See [`", stringify!($name), "::ty`].")]
            pub fn matches_ty(&self, store: impl AsContext, ty: &HeapType) -> Result<bool> {
                let store = &store.as_context().0.inner;
                Ok(any_matches(store.word(self.root)?, *ty, store))
            }

            /// Returns whether it is a small integer.
            ///
            /// # Errors
            #[doc = concat!("See [`", stringify!($name), "::ty`].")]
            pub fn is_i31(&self, store: impl AsContext) -> Result<bool> {
                self.as_i31(store).map(|value| value.is_some())
            }

            /// Returns the small integer, if it is one.
            ///
            /// # Errors
            #[doc = concat!("See [`", stringify!($name), "::ty`].")]
            pub fn as_i31(&self, store: impl AsContext) -> Result<Option<I31>> {
                Ok(I31::from_word(store.as_context().0.inner.word(self.root)?))
            }

            /// Returns the small integer.
            ///
            /// # Errors
            #[doc = concat!("See [`", stringify!($name), "::ty`].")]
            ///
            /// # Panics
            /// Panics if it is something else.
            pub fn unwrap_i31(&self, store: impl AsContext) -> Result<I31> {
                self.as_i31(store).map(|value| value.expect("the reference is a small integer"))
            }

            /// Returns whether it is a structure.
            ///
            /// # Errors
            #[doc = concat!("See [`", stringify!($name), "::ty`].")]
            pub fn is_struct(&self, store: impl AsContext) -> Result<bool> {
                self.matches_ty(store, &HeapType::Struct)
            }

            /// Returns the structure, if it is one.
            ///
            /// # Errors
            #[doc = concat!("See [`", stringify!($name), "::ty`].")]
            pub fn as_struct(&self, store: impl AsContext) -> Result<Option<Rooted<StructRef>>> {
                as_one(self.root, HeapType::Struct, store)
            }

            /// Returns the structure.
            ///
            /// # Errors
            #[doc = concat!("See [`", stringify!($name), "::ty`].")]
            ///
            /// # Panics
            /// Panics if it is something else.
            pub fn unwrap_struct(&self, store: impl AsContext) -> Result<Rooted<StructRef>> {
                self.as_struct(store).map(|found| found.expect("the reference is to a structure"))
            }

            /// Returns whether it is an array.
            ///
            /// # Errors
            #[doc = concat!("See [`", stringify!($name), "::ty`].")]
            pub fn is_array(&self, store: impl AsContext) -> Result<bool> {
                self.matches_ty(store, &HeapType::Array)
            }

            /// Returns the array, if it is one.
            ///
            /// # Errors
            #[doc = concat!("See [`", stringify!($name), "::ty`].")]
            pub fn as_array(&self, store: impl AsContext) -> Result<Option<Rooted<ArrayRef>>> {
                as_one(self.root, HeapType::Array, store)
            }

            /// Returns the array.
            ///
            /// # Errors
            #[doc = concat!("See [`", stringify!($name), "::ty`].")]
            ///
            /// # Panics
            /// Panics if it is something else.
            pub fn unwrap_array(&self, store: impl AsContext) -> Result<Rooted<ArrayRef>> {
                self.as_array(store).map(|found| found.expect("the reference is to an array"))
            }
        })*
    };
}

any_and_eq! { AnyRef EqRef }

/// Returns the most special type that a reference in the hierarchy of `any` has. `word` is not
/// null.
pub(crate) fn any_type(word: u64, store: &StoreInner) -> HeapType {
    let header = store.heap.as_ref().and_then(|heap| heap.header(word as u32));
    match (word as u32 & TAG_MASK, header) {
        (tag, _) if tag & 1 == 1 => HeapType::I31,
        (0, Some(header)) if header.is_array => HeapType::ConcreteArray(header.ty),
        (0, Some(header)) => HeapType::ConcreteStruct(header.ty),
        _ => HeapType::Any,
    }
}

/// Returns whether a reference in the hierarchy of `any` can be used where one to `heap` is
/// expected.
pub(super) fn any_matches(word: u64, heap: HeapType, store: &StoreInner) -> bool {
    let own = any_type(word, store);
    own == heap || store.engine.types().heap_matches(own, heap)
}

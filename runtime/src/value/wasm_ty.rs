//! Maps Rust types to Wasm value types, and decides at compile time how each crosses into Wasm and
//! back.

use super::any::I31;
use super::val::{func_from_raw, func_to_raw, gc_to_raw};
use crate::store::{
    AnyRef, ArrayRef, EqRef, ExnRef, ExternRef, Func, GcRef, OwnedRooted, Rooted, StoreInner, StructRef,
};
use anyhow::Result;
use minirt_compiler::module::{HeapType, RefType, ValType};

/// A Rust type that stands for a Wasm value type.
///
/// Implemented for
/// - `i32`, `u32`, `i64`, `u64`, `f32`, `f64`, and `u128` (a v128, whose lane 0 is in the lowest
///   bits);
/// - references that are not null: `Func`, `I31`, and `Rooted` or `OwnedRooted` of `AnyRef`,
///   `EqRef`, `StructRef`, `ArrayRef`, `ExternRef` or `ExnRef`;
/// - `Option` of each of these references.
pub trait WasmTy: Send + Sync + sealed::Sealed {
    #[doc(hidden)]
    fn valtype() -> ValType;
    #[doc(hidden)]
    fn write(self, store: &mut sealed::StoreAccess<'_>) -> Result<u128>;
    #[doc(hidden)]
    fn read(bits: u128, store: &mut sealed::StoreAccess<'_>) -> Self;
}

pub(crate) mod sealed {
    //! Keeps others from implementing `WasmTy`: nobody outside can name these.
    pub trait Sealed {}

    /// The store, for references, which mean nothing without one.
    #[allow(missing_debug_implementations, reason = "nobody outside can have one")]
    pub struct StoreAccess<'a>(pub(crate) &'a mut crate::store::StoreInner);
}

macro_rules! numbers {
    ($($ty:ty = $valtype:ident via $bits:ty: $to:expr, $from:expr;)*) => {
        $(impl sealed::Sealed for $ty {}
        impl WasmTy for $ty {
            #[inline]
            fn valtype() -> ValType {
                ValType::$valtype
            }
            #[inline]
            fn write(self, _: &mut sealed::StoreAccess<'_>) -> Result<u128> {
                let to: fn($ty) -> $bits = $to;
                Ok(u128::from(to(self)))
            }
            #[inline]
            fn read(bits: u128, _: &mut sealed::StoreAccess<'_>) -> Self {
                let from: fn($bits) -> $ty = $from;
                from(bits as $bits)
            }
        })*
    };
}

numbers! {
    i32 = I32 via u32: |v| v as u32, |v| v as i32;
    u32 = I32 via u32: |v| v, |v| v;
    i64 = I64 via u64: |v| v as u64, |v| v as i64;
    u64 = I64 via u64: |v| v, |v| v;
    f32 = F32 via u32: f32::to_bits, f32::from_bits;
    f64 = F64 via u64: f64::to_bits, f64::from_bits;
    u128 = V128 via u128: |v| v, |v| v;
}

macro_rules! references {
    ($($ty:ty = $heap:ident: $to:ident, $from:ident;)*) => {
        $(impl sealed::Sealed for Option<$ty> {}
        impl WasmTy for Option<$ty> {
            fn valtype() -> ValType {
                ValType::Ref(RefType::new(true, HeapType::$heap))
            }
            fn write(self, store: &mut sealed::StoreAccess<'_>) -> Result<u128> {
                $to(self, store.0).map(u128::from)
            }
            fn read(bits: u128, store: &mut sealed::StoreAccess<'_>) -> Self {
                $from(bits as u64, store.0)
            }
        }
        impl sealed::Sealed for $ty {}
        impl WasmTy for $ty {
            fn valtype() -> ValType {
                ValType::Ref(RefType::new(false, HeapType::$heap))
            }
            fn write(self, store: &mut sealed::StoreAccess<'_>) -> Result<u128> {
                $to(Some(self), store.0).map(u128::from)
            }
            fn read(bits: u128, store: &mut sealed::StoreAccess<'_>) -> Self {
                $from(bits as u64, store.0).expect("validation keeps null out of this type")
            }
        })*
    };
}

references! {
    Func = Func: func_to_raw, func_from_raw_mut;
    I31 = I31: i31_to_raw, i31_from_raw;
    Rooted<AnyRef> = Any: gc_to_raw, gc_from_raw_mut;
    Rooted<EqRef> = Eq: gc_to_raw, gc_from_raw_mut;
    Rooted<StructRef> = Struct: gc_to_raw, gc_from_raw_mut;
    Rooted<ArrayRef> = Array: gc_to_raw, gc_from_raw_mut;
    Rooted<ExternRef> = Extern: gc_to_raw, gc_from_raw_mut;
    Rooted<ExnRef> = Exn: gc_to_raw, gc_from_raw_mut;
    OwnedRooted<AnyRef> = Any: owned_to_raw, owned_from_raw;
    OwnedRooted<EqRef> = Eq: owned_to_raw, owned_from_raw;
    OwnedRooted<StructRef> = Struct: owned_to_raw, owned_from_raw;
    OwnedRooted<ArrayRef> = Array: owned_to_raw, owned_from_raw;
    OwnedRooted<ExternRef> = Extern: owned_to_raw, owned_from_raw;
    OwnedRooted<ExnRef> = Exn: owned_to_raw, owned_from_raw;
}

fn i31_to_raw(value: Option<I31>, _: &mut StoreInner) -> Result<u64> {
    Ok(value.map_or(0, I31::word))
}

fn i31_from_raw(word: u64, _: &mut StoreInner) -> Option<I31> {
    I31::from_word(word)
}

fn owned_to_raw<T: GcRef>(value: Option<OwnedRooted<T>>, store: &mut StoreInner) -> Result<u64> {
    value.map_or(Ok(0), |value| store.word_mut(value.root()))
}

fn owned_from_raw<T: GcRef>(word: u64, store: &mut StoreInner) -> Option<OwnedRooted<T>> {
    (word != 0).then(|| OwnedRooted::new(store, word))
}

fn func_from_raw_mut(word: u64, store: &mut StoreInner) -> Option<Func> {
    func_from_raw(word, store)
}

/// Returns a handle of the innermost scope.
fn gc_from_raw_mut<T: GcRef>(word: u64, store: &mut StoreInner) -> Option<Rooted<T>> {
    (word != 0).then(|| Rooted::of(store.root_mut(word)))
}

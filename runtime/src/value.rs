//! Wasm values on the host's side, and how they cross into Wasm and back.

use crate::handle::{ExternRef, Func};
use crate::store::StoreInner;
use crate::vmctx::{FuncRecord, Raw};
use anyhow::{Result, bail};
use minirt_compiler::module::{HeapType, RefType, ValType};
use std::any::Any;
use std::ptr::NonNull;

/// A value of any type. Floats are kept as their bits, so that no NaN changes on the way; the lanes of a vector as one
/// number, lane 0 in the lowest bits.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each is a value of the type of its name")]
pub enum Val {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128(u128),
    FuncRef(Option<Func>),
    ExternRef(Option<ExternRef>),
}

/// A reference: what tables hold.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each is a reference of the type of its name")]
pub enum Ref {
    Func(Option<Func>),
    Extern(Option<ExternRef>),
}

impl Ref {
    /// Null, for a table of this element type.
    pub fn null(ty: RefType) -> Self {
        if ty.heap.is_func() { Self::Func(None) } else { Self::Extern(None) }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Func(None) | Self::Extern(None))
    }
}

impl From<Ref> for Val {
    fn from(it: Ref) -> Self {
        match it {
            Ref::Func(func) => Self::FuncRef(func),
            Ref::Extern(value) => Self::ExternRef(value),
        }
    }
}

impl From<Func> for Val {
    fn from(func: Func) -> Self {
        Self::FuncRef(Some(func))
    }
}

impl From<Option<Func>> for Val {
    fn from(func: Option<Func>) -> Self {
        Self::FuncRef(func)
    }
}

impl From<Func> for Ref {
    fn from(func: Func) -> Self {
        Self::Func(Some(func))
    }
}

impl Val {
    /// A null function reference.
    pub const fn null_func() -> Self {
        Self::FuncRef(None)
    }

    /// A null external reference.
    pub const fn null_extern() -> Self {
        Self::ExternRef(None)
    }

    /// Its type. A reference has the general type of its kind.
    pub fn ty(&self) -> ValType {
        match self {
            Self::I32(_) => ValType::I32,
            Self::I64(_) => ValType::I64,
            Self::F32(_) => ValType::F32,
            Self::F64(_) => ValType::F64,
            Self::V128(_) => ValType::V128,
            Self::FuncRef(_) => ValType::FUNCREF,
            Self::ExternRef(_) => ValType::EXTERNREF,
        }
    }

    /// What a local of this type starts with (specification, section 4.2.1): zero or null.
    #[inline]
    pub fn default_for_ty(ty: ValType) -> Self {
        match ty {
            ValType::I32 => Self::I32(0),
            ValType::I64 => Self::I64(0),
            ValType::F32 => Self::F32(0),
            ValType::F64 => Self::F64(0),
            ValType::V128 => Self::V128(0),
            ValType::Ref(ty) => Ref::null(ty).into(),
        }
    }

    /// The reference, if it is one.
    pub fn as_ref(&self) -> Option<Ref> {
        match self {
            Self::FuncRef(func) => Some(Ref::Func(*func)),
            Self::ExternRef(value) => Some(Ref::Extern(*value)),
            _ => None,
        }
    }

    /// Whether it may stand where `ty` is asked for.
    #[inline]
    pub(crate) fn matches(&self, ty: ValType, store: &StoreInner) -> bool {
        match (self.as_ref(), ty) {
            (Some(reference), ValType::Ref(ty)) => reference.matches(ty, store),
            _ => self.ty() == ty,
        }
    }

    /// The value as Wasm sees it.
    ///
    /// # Errors
    /// When a reference belongs to another store, or a host function's way in can not be compiled.
    #[inline]
    pub(crate) fn into_raw(self, store: &mut StoreInner) -> Result<Raw> {
        Ok(Raw(match self {
            Self::I32(v) => u128::from(v as u32),
            Self::I64(v) => u128::from(v as u64),
            Self::F32(bits) => u128::from(bits),
            Self::F64(bits) => u128::from(bits),
            Self::V128(v) => v,
            Self::FuncRef(func) => u128::from(func_to_raw(func, store)?),
            Self::ExternRef(value) => u128::from(extern_to_raw(value, store)?),
        }))
    }

    /// A value that Wasm gave us, of a type that validation vouches for.
    #[inline]
    pub(crate) fn from_raw(raw: Raw, ty: ValType, store: &StoreInner) -> Self {
        let bits = raw.0;
        match ty {
            ValType::I32 => Self::I32(bits as i32),
            ValType::I64 => Self::I64(bits as i64),
            ValType::F32 => Self::F32(bits as u32),
            ValType::F64 => Self::F64(bits as u64),
            ValType::V128 => Self::V128(bits),
            ValType::Ref(ty) => Ref::from_raw(bits as u64, ty.heap, store).into(),
        }
    }
}

impl Ref {
    pub(crate) fn into_raw(self, store: &mut StoreInner) -> Result<u64> {
        match self {
            Self::Func(func) => func_to_raw(func, store),
            Self::Extern(value) => extern_to_raw(value, store),
        }
    }

    pub(crate) fn from_raw(word: u64, heap: HeapType, store: &StoreInner) -> Self {
        if heap.is_func() { Self::Func(func_from_raw(word, store)) } else { Self::Extern(extern_from_raw(word, store)) }
    }

    /// Whether it may stand where `ty` is asked for. A function of another store never does where that would matter.
    pub(crate) fn matches(&self, ty: RefType, store: &StoreInner) -> bool {
        match (self, ty.heap) {
            (Self::Func(None), heap) => ty.nullable && heap.is_func(),
            (Self::Extern(None), heap) => ty.nullable && !heap.is_func(),
            (Self::Func(Some(_)), HeapType::Func) | (Self::Extern(Some(_)), HeapType::Extern) => true,
            (Self::Func(Some(func)), HeapType::Concrete(wanted)) => {
                func.store == store.id && store.engine.is_subtype(func.type_number(), wanted)
            }
            _ => false,
        }
    }
}

fn func_to_raw(func: Option<Func>, store: &mut StoreInner) -> Result<u64> {
    let Some(func) = func else { return Ok(0) };
    if func.store != store.id {
        bail!("a function reference belongs to another store");
    }
    // SAFETY: the record lives as long as its store, which this is, and is written nowhere else while the store
    // is borrowed exclusively.
    let record = unsafe { &mut *func.record.as_ptr() };
    if record.code.is_null() {
        record.code = store.engine.exit(record.type_id)?;
    }
    Ok(func.record.as_ptr() as u64)
}

fn func_from_raw(word: u64, store: &StoreInner) -> Option<Func> {
    let record = NonNull::new(word as *mut FuncRecord)?;
    Some(Func { store: store.id, record })
}

fn extern_to_raw(value: Option<ExternRef>, store: &StoreInner) -> Result<u64> {
    match value {
        None => Ok(0),
        Some(it) if it.store == store.id => Ok(u64::from(it.index) + 1),
        Some(_) => bail!("an external reference belongs to another store"),
    }
}

fn extern_from_raw(word: u64, store: &StoreInner) -> Option<ExternRef> {
    let index = word.checked_sub(1)?;
    Some(ExternRef { store: store.id, index: index as u32 })
}

impl ExternRef {
    /// Gives Wasm a value to hold. It lives as long as the store.
    pub fn new(mut store: impl crate::store::AsContextMut, value: impl Any + Send + Sync) -> Self {
        let inner = &mut store.as_context_mut().0.inner;
        inner.externs.push(Box::new(value));
        Self { store: inner.id, index: inner.externs.len() as u32 - 1 }
    }

    /// The value.
    ///
    /// # Errors
    /// When the reference belongs to another store.
    pub fn data<'a, T: 'a>(
        &self,
        store: impl Into<crate::store::StoreContext<'a, T>>,
    ) -> Result<&'a (dyn Any + Send + Sync)> {
        let inner = &store.into().0.inner;
        if inner.id != self.store {
            bail!("an external reference belongs to another store");
        }
        Ok(&*inner.externs[self.index as usize])
    }
}

/// A Rust type that stands for a Wasm value type.
///
/// Implemented for `i32`, `u32`, `i64`, `u64`, `f32`, `f64`, `u128` (a v128, whose lane 0 is in the lowest bits),
/// `Func` (a function reference that is not null), `Option<Func>` and `Option<ExternRef>`.
pub trait WasmTy: Copy + Send + Sync + sealed::Sealed {
    #[doc(hidden)]
    fn valtype() -> ValType;
    #[doc(hidden)]
    fn write(self, store: &mut sealed::Context<'_>) -> Result<u128>;
    #[doc(hidden)]
    fn read(bits: u128, store: &sealed::Context<'_>) -> Self;
}

pub(crate) mod sealed {
    //! What keeps `WasmTy` ours: nobody outside can name these.
    pub trait Sealed {}

    /// A store, for values that need one to be understood.
    #[allow(missing_debug_implementations, reason = "nobody outside can have one")]
    pub struct Context<'a>(pub(crate) &'a mut crate::store::StoreInner);
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
            fn write(self, _: &mut sealed::Context<'_>) -> Result<u128> {
                let to: fn($ty) -> $bits = $to;
                Ok(u128::from(to(self)))
            }
            #[inline]
            fn read(bits: u128, _: &sealed::Context<'_>) -> Self {
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
    ($($ty:ty = $valtype:ident: $to:ident, $from:ident;)*) => {
        $(impl sealed::Sealed for Option<$ty> {}
        impl WasmTy for Option<$ty> {
            fn valtype() -> ValType {
                ValType::$valtype
            }
            fn write(self, store: &mut sealed::Context<'_>) -> Result<u128> {
                $to(self, store.0).map(u128::from)
            }
            fn read(bits: u128, store: &sealed::Context<'_>) -> Self {
                $from(bits as u64, store.0)
            }
        })*
    };
}

/// `(ref func)`: a function that is there.
impl sealed::Sealed for Func {}
impl WasmTy for Func {
    fn valtype() -> ValType {
        ValType::Ref(RefType { nullable: false, heap: HeapType::Func })
    }
    fn write(self, store: &mut sealed::Context<'_>) -> Result<u128> {
        func_to_raw(Some(self), store.0).map(u128::from)
    }
    fn read(bits: u128, store: &sealed::Context<'_>) -> Self {
        func_from_raw(bits as u64, store.0).expect("validation keeps null out of this type")
    }
}

references! {
    Func = FUNCREF: func_to_raw, func_from_raw;
    ExternRef = EXTERNREF: extern_to_raw, extern_from_raw;
}

macro_rules! val_from {
    ($($ty:ty => $variant:ident $get:ident $unwrap:ident: $to:expr, $from:expr;)*) => {
        $(impl From<$ty> for Val {
            fn from(value: $ty) -> Self {
                let to: fn($ty) -> _ = $to;
                Self::$variant(to(value))
            }
        })*
        impl Val {
            $(/// The number in it, if it is of this type.
            pub fn $get(&self) -> Option<$ty> {
                let from: fn(_) -> $ty = $from;
                if let Self::$variant(value) = self { Some(from(*value)) } else { None }
            }

            /// The number in it.
            ///
            /// # Panics
            /// When it is of another type.
            pub fn $unwrap(&self) -> $ty {
                self.$get().unwrap_or_else(|| panic!("expected {}, found {}", stringify!($ty), self.ty()))
            })*
        }
    };
}

val_from! {
    i32 => I32 i32 unwrap_i32: |v| v, |v| v;
    i64 => I64 i64 unwrap_i64: |v| v, |v| v;
    f32 => F32 f32 unwrap_f32: f32::to_bits, f32::from_bits;
    f64 => F64 f64 unwrap_f64: f64::to_bits, f64::from_bits;
    u128 => V128 v128 unwrap_v128: |v| v, |v| v;
}

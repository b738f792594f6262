//! Represents Wasm values on the host's side, and passes them into Wasm and back.

use super::any::{AnyRef, Rooted, any_from_raw, any_to_raw, check_generation, generation};
use crate::store::StoreInner;
use crate::store::{ExnRef, ExnReference, ExternRef, Func};
use crate::vmctx::{FuncRecord, Raw};
use anyhow::{Result, bail};
use minirt_compiler::instance::layout::object::{HOST_TAG, TAG_MASK};
use minirt_compiler::module::{HeapType, RefKind, RefType, ValType};
use std::any::Any;
use std::ptr::NonNull;

/// Bits of a reference to a value of the host below its number.
const TAG_BITS: u32 = TAG_MASK.count_ones();

/// A value of any type. Floats are kept as their bits, so that no NaN changes on the way. A vector is one number, with
/// lane 0 in the lowest bits.
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
    AnyRef(Option<Rooted<AnyRef>>),
    ExnRef(Option<ExnRef>),
}

/// A reference, as tables hold them.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each is a reference of the type of its name")]
pub enum Ref {
    Func(Option<Func>),
    Extern(Option<ExternRef>),
    Any(Option<Rooted<AnyRef>>),
    Exn(Option<ExnRef>),
}

impl Ref {
    /// Returns the null reference of a kind.
    #[inline]
    pub const fn null(heap: HeapType) -> Self {
        match heap.kind() {
            RefKind::Func => Self::Func(None),
            RefKind::Extern => Self::Extern(None),
            RefKind::Any => Self::Any(None),
            RefKind::Exn => Self::Exn(None),
        }
    }

    /// Returns whether it is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Func(None) | Self::Extern(None) | Self::Any(None) | Self::Exn(None))
    }

    /// Returns whether it is not null.
    pub const fn is_non_null(&self) -> bool {
        !self.is_null()
    }
}

impl From<Ref> for Val {
    fn from(it: Ref) -> Self {
        match it {
            Ref::Func(func) => Self::FuncRef(func),
            Ref::Extern(value) => Self::ExternRef(value),
            Ref::Any(value) => Self::AnyRef(value),
            Ref::Exn(value) => Self::ExnRef(value),
        }
    }
}

impl Val {
    /// Returns the null reference of a kind.
    pub const fn null_ref(heap: HeapType) -> Self {
        match heap.kind() {
            RefKind::Func => Self::null_func_ref(),
            RefKind::Extern => Self::null_extern_ref(),
            RefKind::Any => Self::null_any_ref(),
            RefKind::Exn => Self::null_exn_ref(),
        }
    }

    /// Returns the function reference that is null.
    pub const fn null_func_ref() -> Self {
        Self::FuncRef(None)
    }

    /// Returns the external reference that is null.
    pub const fn null_extern_ref() -> Self {
        Self::ExternRef(None)
    }

    /// Returns the reference of the hierarchy of `any` that is null.
    pub const fn null_any_ref() -> Self {
        Self::AnyRef(None)
    }

    /// Returns the exception reference that is null.
    pub const fn null_exn_ref() -> Self {
        Self::ExnRef(None)
    }

    /// Returns its type. For a reference, that is the most general type of its kind: `funcref`,
    /// `externref`, `anyref` or `exnref`.
    pub fn ty(&self) -> ValType {
        match self {
            Self::I32(_) => ValType::I32,
            Self::I64(_) => ValType::I64,
            Self::F32(_) => ValType::F32,
            Self::F64(_) => ValType::F64,
            Self::V128(_) => ValType::V128,
            Self::FuncRef(_) => ValType::FUNCREF,
            Self::ExternRef(_) => ValType::EXTERNREF,
            Self::AnyRef(_) => ValType::ANYREF,
            Self::ExnRef(_) => ValType::EXNREF,
        }
    }

    /// Returns the value that a local of this type starts with (specification, section 4.2.1): zero or null. `None` for
    /// references that are never null.
    pub fn default_for_ty(ty: ValType) -> Option<Self> {
        let default = !matches!(ty, ValType::Ref(RefType { nullable: false, .. }));
        default.then(|| Self::placeholder(ty))
    }

    /// Returns something to be replaced by a value of the type: its default, or null where it has none.
    #[inline]
    pub(crate) fn placeholder(ty: ValType) -> Self {
        match ty {
            ValType::I32 => Self::I32(0),
            ValType::I64 => Self::I64(0),
            ValType::F32 => Self::F32(0),
            ValType::F64 => Self::F64(0),
            ValType::V128 => Self::V128(0),
            ValType::Ref(ty) => Ref::null(ty.heap).into(),
        }
    }

    /// Returns the reference, if it is one.
    pub fn ref_(&self) -> Option<Ref> {
        match self {
            Self::FuncRef(func) => Some(Ref::Func(*func)),
            Self::ExternRef(value) => Some(Ref::Extern(*value)),
            Self::AnyRef(value) => Some(Ref::Any(*value)),
            Self::ExnRef(value) => Some(Ref::Exn(*value)),
            _ => None,
        }
    }

    /// Returns whether it can be used where `ty` is expected.
    #[inline]
    pub(crate) fn matches(&self, ty: ValType, store: &StoreInner) -> bool {
        match (self.ref_(), ty) {
            (Some(reference), ValType::Ref(ty)) => reference.matches(ty, store),
            _ => self.ty() == ty,
        }
    }

    /// Returns the value as Wasm sees it.
    ///
    /// # Errors
    /// Returns an error if a reference belongs to another store, or a host function's exit trampoline cannot be
    /// compiled.
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
            Self::AnyRef(value) => u128::from(any_to_raw(value, store)?),
            Self::ExnRef(value) => u128::from(exn_to_raw(value, store)?),
        }))
    }

    /// Returns the value that Wasm sees as `raw`. Validation vouches for its type.
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
            Self::Any(value) => any_to_raw(value, store),
            Self::Exn(value) => exn_to_raw(value, store),
        }
    }

    pub(crate) fn from_raw(word: u64, heap: HeapType, store: &StoreInner) -> Self {
        match heap.kind() {
            RefKind::Func => Self::Func(func_from_raw(word, store)),
            RefKind::Extern => Self::Extern(extern_from_raw(word, store)),
            RefKind::Any => Self::Any(any_from_raw(word, store)),
            RefKind::Exn => Self::Exn(exn_from_raw(word, store)),
        }
    }

    /// Returns whether it can be used where `ty` is expected. A function of another store never matches a concrete
    /// type.
    pub(crate) fn matches(&self, ty: RefType, store: &StoreInner) -> bool {
        match (self, ty.heap) {
            (Self::Func(None), heap) => ty.nullable && heap.kind() == RefKind::Func,
            (Self::Extern(None), heap) => ty.nullable && heap.kind() == RefKind::Extern,
            (Self::Any(None), heap) => ty.nullable && heap.kind() == RefKind::Any,
            (Self::Exn(None), heap) => ty.nullable && heap.kind() == RefKind::Exn,
            (Self::Func(Some(func)), HeapType::ConcreteFunc(wanted)) => {
                func.store == store.id && store.engine.is_subtype(func.type_number(), wanted)
            }
            (Self::Func(Some(_)), heap) => heap == HeapType::Func,
            (Self::Extern(Some(_)), heap) => heap == HeapType::Extern,
            (Self::Any(Some(value)), heap) => value.matches(heap, store),
            (Self::Exn(Some(_)), heap) => heap == HeapType::Exn,
        }
    }
}

pub(crate) fn func_to_raw(func: Option<Func>, store: &mut StoreInner) -> Result<u64> {
    let Some(func) = func else { return Ok(0) };
    if func.store != store.id {
        bail!("a function reference belongs to another store");
    }
    // SAFETY: the record lives as long as its store, which this is, and is written nowhere else while the store
    // is borrowed exclusively.
    let record = unsafe { &mut *func.record.as_ptr() };
    if record.code.is_null() {
        let code = store.engine.exit_trampoline(record.type_id)?;
        record.code = code.address(0);
        store.exit_trampolines.push(code);
    }
    Ok(func.record.as_ptr() as u64)
}

pub(crate) fn func_from_raw(word: u64, store: &StoreInner) -> Option<Func> {
    let record = NonNull::new(word as *mut FuncRecord)?;
    Some(Func { store: store.id, record })
}

pub(crate) fn extern_to_raw(value: Option<ExternRef>, store: &StoreInner) -> Result<u64> {
    let Some(ExternRef { store: owner, word, generation }) = value else { return Ok(0) };
    if owner != store.id {
        bail!("an external reference belongs to another store");
    }
    check_generation(word, generation, store)?;
    Ok(word.into())
}

pub(crate) fn extern_from_raw(word: u64, store: &StoreInner) -> Option<ExternRef> {
    let word = word as u32;
    (word != 0).then_some(ExternRef { store: store.id, word, generation: generation(word, store) })
}

pub(crate) fn exn_to_raw(value: Option<ExnRef>, store: &StoreInner) -> Result<u64> {
    value.map_or(Ok(0), |it| store.exception(it).map(|_| it.reference.word()))
}

/// Returns a handle, which keeps the exception alive.
pub(crate) fn exn_from_raw(word: u64, store: &StoreInner) -> Option<ExnRef> {
    ExnReference::from_word(word).map(|reference| store.exception_handle(reference))
}

impl ExternRef {
    /// Creates a reference to a value, for Wasm to hold. The value lives as long as the store.
    ///
    /// # Panics
    /// Panics if the store has 2^29 values already.
    pub fn new(mut store: impl crate::store::AsContextMut, value: impl Any + Send + Sync) -> Self {
        let inner = &mut store.as_context_mut().0.inner;
        inner.externs.push(Box::new(value));
        let index = inner.externs.len() as u32 - 1;
        assert!(index >> (u32::BITS - TAG_BITS) == 0, "the store has too many values of the host");
        Self { store: inner.id, word: index << TAG_BITS | HOST_TAG, generation: 0 }
    }

    /// Makes an external reference of one in the hierarchy of `any`, as `extern.convert_any` does.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or leads to what is gone.
    pub fn convert_any(store: impl crate::store::AsContext, any: Rooted<AnyRef>) -> Result<Self> {
        let inner = &store.as_context().0.inner;
        let word = any_to_raw(Some(any), inner)? as u32;
        Ok(Self { store: inner.id, word, generation: generation(word, inner) })
    }

    /// Returns the value.
    ///
    /// # Errors
    /// Returns an error if the reference belongs to another store, or is the guest's own: made by `extern.convert_any` of
    /// something that is not the host's.
    pub fn data<'a, T: 'a>(
        &self,
        store: impl Into<crate::store::StoreContext<'a, T>>,
    ) -> Result<&'a (dyn Any + Send + Sync)> {
        let inner = &store.into().0.inner;
        if inner.id != self.store {
            bail!("an external reference belongs to another store");
        }
        if self.word & TAG_MASK != HOST_TAG {
            bail!("an external reference leads to the guest's own, and not to a value of the host");
        }
        Ok(&*inner.externs[(self.word >> TAG_BITS) as usize])
    }
}

macro_rules! references {
    ($($variant:ident($ty:ty): $is:ident $as:ident $unwrap:ident; $val:ident [$($get:ident $unwrap_val:ident)*];)*) => {
        impl Ref {
            $(/// Returns whether it is of this kind, null or not.
            pub const fn $is(&self) -> bool {
                matches!(self, Self::$variant(_))
            }

            /// Returns what it refers to, if it is of this kind. `Some(None)` is null.
            pub const fn $as(&self) -> Option<Option<$ty>> {
                if let Self::$variant(it) = self { Some(*it) } else { None }
            }

            /// Returns what it refers to. `None` is null.
            ///
            /// # Panics
            /// Panics if it is of another kind.
            pub fn $unwrap(&self) -> Option<$ty> {
                self.$as().unwrap_or_else(|| panic!("expected {}, found {self:?}", stringify!($val)))
            })*
        }
        impl Val {
            $($(/// Returns what it refers to, if it is a reference of this kind. `Some(None)` is null.
            pub const fn $get(&self) -> Option<Option<$ty>> {
                if let Self::$val(it) = self { Some(*it) } else { None }
            }

            /// Returns what it refers to. `None` is null.
            ///
            /// # Panics
            /// Panics if it is not a reference of this kind.
            pub fn $unwrap_val(&self) -> Option<$ty> {
                self.$get().unwrap_or_else(|| panic!("expected {}, found {}", stringify!($val), self.ty()))
            })*)*
        }
        $(impl From<Option<$ty>> for Ref {
            fn from(it: Option<$ty>) -> Self {
                Self::$variant(it)
            }
        }
        impl From<$ty> for Ref {
            fn from(it: $ty) -> Self {
                Self::$variant(Some(it))
            }
        }
        impl From<Option<$ty>> for Val {
            fn from(it: Option<$ty>) -> Self {
                Self::$val(it)
            }
        }
        impl From<$ty> for Val {
            fn from(it: $ty) -> Self {
                Self::$val(Some(it))
            }
        })*
    };
}

references! {
    Func(Func): is_func as_func unwrap_func; FuncRef [funcref unwrap_funcref func_ref unwrap_func_ref];
    Extern(ExternRef): is_extern as_extern unwrap_extern; ExternRef [externref unwrap_externref extern_ref unwrap_extern_ref];
    Any(Rooted<AnyRef>): is_any as_any unwrap_any; AnyRef [anyref unwrap_anyref any_ref unwrap_any_ref];
    Exn(ExnRef): is_exn as_exn unwrap_exn; ExnRef [exnref unwrap_exnref exn_ref unwrap_exn_ref];
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
            $(/// Returns the number, if it is of this type.
            pub fn $get(&self) -> Option<$ty> {
                let from: fn(_) -> $ty = $from;
                if let Self::$variant(value) = self { Some(from(*value)) } else { None }
            }

            /// Returns the number.
            ///
            /// # Panics
            /// Panics if it is of another type.
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

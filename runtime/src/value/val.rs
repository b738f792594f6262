//! Represents Wasm values on the host's side, and passes them into Wasm and back.

use super::any::any_matches;
use crate::store::{AnyRef, ArrayRef, AsContext, EqRef, ExnRef, ExternRef, Func, GcRef, Rooted, StoreInner, StructRef};
use crate::vmctx::{FuncRecord, Raw};
use anyhow::{Result, bail};
use minirt_compiler::module::{HeapType, RefKind, RefType, ValType};
use std::ptr::NonNull;

/// A value of any type. Floats are kept as their bits, so that no NaN changes on the way. A vector
/// is one number, with lane 0 in the lowest bits.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each is a value of the type of its name")]
pub enum Val {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128(u128),
    FuncRef(Option<Func>),
    ExternRef(Option<Rooted<ExternRef>>),
    AnyRef(Option<Rooted<AnyRef>>),
    ExnRef(Option<Rooted<ExnRef>>),
}

/// A vector is the largest value, and handles of references fit beside it.
const _: () = assert!(size_of::<Val>() == 32);

/// A reference, as tables hold them.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each is a reference of the type of its name")]
pub enum Ref {
    Func(Option<Func>),
    Extern(Option<Rooted<ExternRef>>),
    Any(Option<Rooted<AnyRef>>),
    Exn(Option<Rooted<ExnRef>>),
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

    /// Returns the value that a local of this type starts with (specification, section 4.2.1): zero
    /// or null. `None` for references that are never null.
    pub fn default_for_ty(ty: ValType) -> Option<Self> {
        let default = !matches!(ty, ValType::Ref(RefType { nullable: false, .. }));
        default.then(|| Self::placeholder(ty))
    }

    /// Returns something to be replaced by a value of the type: its default, or null where it has
    /// none.
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
    ///
    /// # Errors
    /// Returns an error if it is a reference that belongs to another store, or that may not be used
    /// any more ([`Rooted`]).
    pub fn matches_ty(&self, store: impl AsContext, ty: &ValType) -> Result<bool> {
        self.matches(*ty, &store.as_context().0.inner)
    }

    /// Does the same with a store that is at hand.
    #[inline]
    pub(crate) fn matches(&self, ty: ValType, store: &StoreInner) -> Result<bool> {
        match (self.ref_(), ty) {
            (Some(reference), ValType::Ref(ty)) => reference.matches(ty, store),
            _ => Ok(self.ty() == ty),
        }
    }

    /// Returns the value as Wasm sees it.
    ///
    /// # Errors
    /// Returns an error if a reference belongs to another store, or a host function's exit
    /// trampoline cannot be compiled.
    #[inline]
    pub(crate) fn into_raw(self, store: &mut StoreInner) -> Result<Raw> {
        Ok(Raw(match self {
            Self::I32(v) => u128::from(v as u32),
            Self::I64(v) => u128::from(v as u64),
            Self::F32(bits) => u128::from(bits),
            Self::F64(bits) => u128::from(bits),
            Self::V128(v) => v,
            Self::FuncRef(func) => u128::from(func_to_raw(func, store)?),
            Self::ExternRef(value) => u128::from(gc_to_raw(value, store)?),
            Self::AnyRef(value) => u128::from(gc_to_raw(value, store)?),
            Self::ExnRef(value) => u128::from(gc_to_raw(value, store)?),
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
    /// Returns whether it can be used where `ty` is expected.
    ///
    /// # Errors
    /// The same as [`Val::matches_ty`].
    pub fn matches_ty(&self, store: impl AsContext, ty: &RefType) -> Result<bool> {
        self.matches(*ty, &store.as_context().0.inner)
    }

    pub(crate) fn into_raw(self, store: &mut StoreInner) -> Result<u64> {
        match self {
            Self::Func(func) => func_to_raw(func, store),
            Self::Extern(value) => gc_to_raw(value, store),
            Self::Any(value) => gc_to_raw(value, store),
            Self::Exn(value) => gc_to_raw(value, store),
        }
    }

    pub(crate) fn from_raw(word: u64, heap: HeapType, store: &StoreInner) -> Self {
        match heap.kind() {
            RefKind::Func => Self::Func(func_from_raw(word, store)),
            RefKind::Extern => Self::Extern(gc_from_raw(word, store)),
            RefKind::Any => Self::Any(gc_from_raw(word, store)),
            RefKind::Exn => Self::Exn(gc_from_raw(word, store)),
        }
    }

    /// Returns whether it can be used where `ty` is expected. A function of another store never
    /// matches a concrete type.
    ///
    /// # Errors
    /// Returns an error if it is a stale reference, or one of another store.
    pub(crate) fn matches(&self, ty: RefType, store: &StoreInner) -> Result<bool> {
        Ok(match (self, ty.heap) {
            (Self::Func(None), heap) => ty.nullable && heap.kind() == RefKind::Func,
            (Self::Extern(None), heap) => ty.nullable && heap.kind() == RefKind::Extern,
            (Self::Any(None), heap) => ty.nullable && heap.kind() == RefKind::Any,
            (Self::Exn(None), heap) => ty.nullable && heap.kind() == RefKind::Exn,
            (Self::Func(Some(func)), heap) => func_matches(*func, heap, store),
            (Self::Extern(Some(value)), heap) => store.word(value.root()).map(|_| heap == HeapType::Extern)?,
            (Self::Any(Some(value)), heap) => any_matches(store.word(value.root())?, heap, store),
            (Self::Exn(Some(value)), heap) => store.word(value.root()).map(|_| heap == HeapType::Exn)?,
        })
    }
}

fn func_matches(func: Func, heap: HeapType, store: &StoreInner) -> bool {
    match heap {
        HeapType::ConcreteFunc(wanted) => func.store == store.id && store.engine.is_subtype(func.type_number(), wanted),
        heap => heap == HeapType::Func,
    }
}

/// Returns whether a reference as Wasm sees it, of the kind of `ty`, can be used where `ty` is
/// expected.
pub(crate) fn word_matches(word: u64, ty: RefType, store: &StoreInner) -> bool {
    if word == 0 {
        return ty.nullable;
    }
    match ty.heap.kind() {
        RefKind::Func => func_from_raw(word, store).is_some_and(|func| func_matches(func, ty.heap, store)),
        RefKind::Any => any_matches(word, ty.heap, store),
        RefKind::Extern => ty.heap == HeapType::Extern,
        RefKind::Exn => ty.heap == HeapType::Exn,
    }
}

pub(crate) fn func_to_raw(func: Option<Func>, store: &mut StoreInner) -> Result<u64> {
    let Some(func) = func else { return Ok(0) };
    if func.store != store.id {
        bail!("a function reference belongs to another store");
    }
    // SAFETY: the record lives as long as its store, which this is, and is written nowhere else
    // while the store is borrowed exclusively.
    let record = unsafe { &mut *func.record.as_ptr() };
    if record.code.is_null() {
        let code = store.engine.exit_trampoline(record.type_id)?;
        record.code = code.address(0);
        store.keep_exit_trampoline(code);
    }
    Ok(func.record.as_ptr() as u64)
}

pub(crate) fn func_from_raw(word: u64, store: &StoreInner) -> Option<Func> {
    let record = NonNull::new(word as *mut FuncRecord)?;
    Some(Func { store: store.id, record })
}

/// Returns a reference as Wasm sees it, unless it is stale.
pub(crate) fn gc_to_raw<T: GcRef>(value: Option<Rooted<T>>, store: &mut StoreInner) -> Result<u64> {
    value.map_or(Ok(0), |value| store.word_mut(value.root()))
}

/// Returns a handle of the innermost scope.
pub(crate) fn gc_from_raw<T: GcRef>(word: u64, store: &StoreInner) -> Option<Rooted<T>> {
    (word != 0).then(|| Rooted::of(store.root(word)))
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
    Extern(Rooted<ExternRef>): is_extern as_extern unwrap_extern; ExternRef [externref unwrap_externref extern_ref unwrap_extern_ref];
    Any(Rooted<AnyRef>): is_any as_any unwrap_any; AnyRef [anyref unwrap_anyref any_ref unwrap_any_ref];
    Exn(Rooted<ExnRef>): is_exn as_exn unwrap_exn; ExnRef [exnref unwrap_exnref exn_ref unwrap_exn_ref];
}

macro_rules! from_special {
    ($($ty:ident)*) => {
        $(impl From<Rooted<$ty>> for Ref {
            fn from(it: Rooted<$ty>) -> Self {
                Self::Any(Some(it.to_anyref()))
            }
        }
        impl From<Option<Rooted<$ty>>> for Ref {
            fn from(it: Option<Rooted<$ty>>) -> Self {
                Self::Any(it.map(Rooted::<$ty>::to_anyref))
            }
        }
        impl From<Rooted<$ty>> for Val {
            fn from(it: Rooted<$ty>) -> Self {
                Ref::from(it).into()
            }
        }
        impl From<Option<Rooted<$ty>>> for Val {
            fn from(it: Option<Rooted<$ty>>) -> Self {
                Ref::from(it).into()
            }
        })*
    };
}

from_special! { EqRef StructRef ArrayRef }

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

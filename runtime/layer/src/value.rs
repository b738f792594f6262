//! Values and types: the layer's from minirt's, and the other way round.

use crate::{Engine, ExternRef, Func};
use minirt::{AsContextMut, Rooted};
use wasm_runtime_layer::backend::{Ref, Val};
use wasm_runtime_layer::{ExternType, FuncType, GlobalType, MemoryType, RefType, TableType, ValType};

/// Returns a size as far as the layer's numbers go.
pub(crate) fn size(size: u64) -> u32 {
    size.try_into().unwrap_or(u32::MAX)
}

/// Returns a value. A reference is valid until the scope of the store ends.
pub(crate) fn to_val(value: &Val<Engine>, store: impl AsContextMut) -> minirt::Val {
    match value {
        Val::I32(n) => minirt::Val::I32(*n),
        Val::I64(n) => minirt::Val::I64(*n),
        Val::F32(n) => minirt::Val::F32(n.to_bits()),
        Val::F64(n) => minirt::Val::F64(n.to_bits()),
        Val::V128(n) => minirt::Val::V128(*n),
        Val::FuncRef(func) => minirt::Val::FuncRef(func.as_ref().map(|func| func.0)),
        Val::ExternRef(value) => minirt::Val::ExternRef(value.as_ref().map(|value| value.0.to_rooted(store))),
    }
}

/// Returns a value; null for a reference that the layer does not know.
pub(crate) fn from_val(value: &minirt::Val, store: impl AsContextMut) -> Val<Engine> {
    let number = value.i32().map(Val::I32).or_else(|| value.i64().map(Val::I64));
    let number = number.or_else(|| value.f32().map(Val::F32)).or_else(|| value.f64().map(Val::F64));
    let number = number.or_else(|| value.v128().map(Val::V128));
    number.unwrap_or_else(|| match (value.funcref(), value.externref()) {
        (Some(func), _) => Val::FuncRef(func.map(Func)),
        (None, value) => Val::ExternRef(value.flatten().map(|value| owned(value, store))),
    })
}

/// Does the same for a reference.
pub(crate) fn to_ref(value: &Ref<Engine>, store: impl AsContextMut) -> minirt::Ref {
    match value {
        Ref::FuncRef(func) => minirt::Ref::Func(func.as_ref().map(|func| func.0)),
        Ref::ExternRef(value) => minirt::Ref::Extern(value.as_ref().map(|value| value.0.to_rooted(store))),
    }
}

pub(crate) fn from_ref(value: &minirt::Ref, store: impl AsContextMut) -> Ref<Engine> {
    match (value.as_func(), value.as_extern()) {
        (Some(func), _) => Ref::FuncRef(func.map(Func)),
        (None, value) => Ref::ExternRef(value.flatten().map(|value| owned(value, store))),
    }
}

/// Returns a reference that lasts as long as somebody has it: the layer knows no scopes.
fn owned(value: Rooted<minirt::ExternRef>, store: impl AsContextMut) -> ExternRef {
    ExternRef(value.to_owned_rooted(store).expect("the reference was just read"))
}

pub(crate) fn to_val_type(ty: ValType) -> minirt::ValType {
    match ty {
        ValType::I32 => minirt::ValType::I32,
        ValType::I64 => minirt::ValType::I64,
        ValType::F32 => minirt::ValType::F32,
        ValType::F64 => minirt::ValType::F64,
        ValType::V128 => minirt::ValType::V128,
        ValType::FuncRef => minirt::ValType::FUNCREF,
        ValType::ExternRef => minirt::ValType::EXTERNREF,
    }
}

fn from_val_type(ty: minirt::ValType) -> ValType {
    match ty {
        minirt::ValType::I32 => ValType::I32,
        minirt::ValType::I64 => ValType::I64,
        minirt::ValType::F32 => ValType::F32,
        minirt::ValType::F64 => ValType::F64,
        minirt::ValType::V128 => ValType::V128,
        minirt::ValType::Ref(ty) => from_ref_type(ty).into(),
    }
}

pub(crate) fn to_ref_type(ty: RefType) -> minirt::RefType {
    match ty {
        RefType::FuncRef => minirt::RefType::FUNCREF,
        RefType::ExternRef => minirt::RefType::EXTERNREF,
    }
}

fn from_ref_type(ty: minirt::RefType) -> RefType {
    if ty.heap.kind() == minirt::RefKind::Func { RefType::FuncRef } else { RefType::ExternRef }
}

pub(crate) fn to_func_type(ty: &FuncType) -> minirt::FuncType {
    let [params, results] = [ty.params(), ty.results()].map(|types| types.iter().map(|ty| to_val_type(*ty)));
    minirt::FuncType::new(params, results)
}

pub(crate) fn from_func_type(ty: &minirt::FuncType) -> FuncType {
    let [params, results] = [ty.params(), ty.results()].map(|types| types.iter().map(|ty| from_val_type(*ty)));
    FuncType::new(params, results)
}

pub(crate) fn from_memory_type(ty: &minirt::MemoryType) -> MemoryType {
    MemoryType::new(size(ty.minimum), ty.maximum.map(size))
}

pub(crate) fn from_table_type(ty: &minirt::TableType) -> TableType {
    TableType::new(from_ref_type(ty.element), size(ty.minimum), ty.maximum.map(size))
}

pub(crate) fn from_global_type(ty: &minirt::GlobalType) -> GlobalType {
    GlobalType::new(from_val_type(ty.content), ty.mutable)
}

/// Returns `None` for what the layer does not know.
pub(crate) fn from_extern_type(ty: &minirt::ExternType) -> Option<ExternType> {
    let func = ty.func().map(|ty| from_func_type(ty).into());
    let memory = || ty.memory().map(|ty| from_memory_type(ty).into());
    let table = || ty.table().map(|ty| from_table_type(ty).into());
    let global = || ty.global().map(|ty| from_global_type(ty).into());
    func.or_else(memory).or_else(table).or_else(global)
}

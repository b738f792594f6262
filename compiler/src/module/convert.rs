//! From wasmparser's types to minirt's own.

use super::types::{HeapType, RefType, ValType};
use crate::base::error::CompileError;
use wasmparser::{AbstractHeapType, UnpackedIndex};

/// wasmparser's error as ours.
pub(crate) fn invalid(error: wasmparser::Error) -> CompileError {
    let message = match error.message() {
        "multiple memories" => "multiple memories: multi-memory support is not enabled",
        named => named,
    };
    CompileError::invalid(message, error.offset() as usize)
}

/// A value type, or why it is not there.
pub(crate) fn value_type(ty: wasmparser::ValType) -> Result<ValType, String> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) => ValType::Ref(ref_type(ty)?),
    })
}

pub(crate) fn ref_type(ty: wasmparser::RefType) -> Result<RefType, String> {
    Ok(RefType { nullable: ty.is_nullable(), heap: heap_type(ty.heap_type())? })
}

pub(crate) fn heap_type(ty: wasmparser::HeapType) -> Result<HeapType, String> {
    match ty {
        wasmparser::HeapType::Abstract { shared: false, ty } => match ty {
            AbstractHeapType::Func => Ok(HeapType::Func),
            AbstractHeapType::Extern => Ok(HeapType::Extern),
            AbstractHeapType::NoFunc => Ok(HeapType::NoFunc),
            AbstractHeapType::NoExtern => Ok(HeapType::NoExtern),
            other => Err(format!("gc support is not complete: references to {other:?} are not supported yet")),
        },
        wasmparser::HeapType::Concrete(index) => Ok(HeapType::ConcreteFunc(module_index(index))),
        other => Err(format!("references to {other:?} are not supported yet")),
    }
}

pub(crate) fn module_index(index: UnpackedIndex) -> u32 {
    index.as_module_index().expect("what the reader gives out counts as the module does")
}

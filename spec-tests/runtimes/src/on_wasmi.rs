//! wasmi, an interpreter: it shares no code generator with the other two.

use crate::guest::{Answer, Guest, Host, HowToWrite, place};
use crate::live::live;
use crate::value::{Content, Kind, Object, Outcome, State, TrapKind, Type, Value};
use wasmi::ValType;
use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{
    Error, Extern, ExternRef, ExternType, FuncType, Global, Memory, Nullable, Ref, Store, Table, TrapCode, Val,
};

live!(wasmi);

fn import(store: &mut Store<()>, host: &dyn Host, module: &str, name: &str, ty: &ExternType) -> Result<Extern, Error> {
    Ok(match ty {
        ExternType::Func(ty) => host_function(store, host.function(module, name), ty.clone()).into(),
        ExternType::Global(ty) => {
            let value = to_val(&mut *store, host.global(module, name, type_of(&ty.content())));
            Global::new(store, value, ty.mutability()).into()
        }
        ExternType::Memory(ty) => Memory::new(store, *ty)?.into(),
        ExternType::Table(ty) => Table::new(store, *ty, Ref::null(ty.element()))?.into(),
    })
}

fn results_of(ty: &FuncType) -> Vec<Type> {
    ty.results().iter().map(type_of).collect()
}

fn type_of(ty: &ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::FuncRef => Type::Ref { kind: Kind::Func, nullable: true, open: false },
        ValType::ExternRef => Type::Ref { kind: Kind::Extern, nullable: true, open: true },
    }
}

fn to_val(mut store: impl wasmi::AsContextMut, value: Value) -> Val {
    match value {
        Value::I32(bits) => Val::I32(bits as i32),
        Value::I64(bits) => Val::I64(bits as i64),
        Value::F32(bits) => Val::F32(wasmi::F32::from_bits(bits)),
        Value::F64(bits) => Val::F64(wasmi::F64::from_bits(bits)),
        Value::V128(bits) => Val::V128(bits.into()),
        Value::Func { .. } => Val::FuncRef(Nullable::Null),
        Value::Extern(None) => Val::ExternRef(Nullable::Null),
        Value::Extern(Some(Object::Host(number))) => Val::ExternRef(Nullable::Val(ExternRef::new(&mut store, number))),
        Value::Exn { .. } | Value::Extern(_) | Value::Any(_) => {
            unreachable!("wasmi has no such references, and takes no module with one")
        }
    }
}

fn to_value(store: impl wasmi::AsContextMut, value: &Val) -> Value {
    match value {
        Val::I32(value) => Value::I32(*value as u32),
        Val::I64(value) => Value::I64(*value as u64),
        Val::F32(value) => Value::F32(value.to_bits()),
        Val::F64(value) => Value::F64(value.to_bits()),
        Val::V128(value) => Value::V128(value.as_u128()),
        Val::FuncRef(func) => Value::Func { null: func.is_null() },
        Val::ExternRef(Nullable::Null) => Value::Extern(None),
        Val::ExternRef(Nullable::Val(value)) => {
            let number = value.data(store.as_context()).downcast_ref::<u32>();
            Value::Extern(Some(Object::Host(*number.expect("a number"))))
        }
    }
}

/// References live as long as their store.
fn scope(store: &mut Store<()>) -> &mut Store<()> {
    store
}

fn collect(_: &mut Store<()>) {}

fn refusal() -> Error {
    TrapCode::UnreachableCodeReached.into()
}

/// wasmi has no exceptions.
fn thrown(_: &mut Store<()>, _: &Error) -> Option<Vec<Value>> {
    None
}

fn outcome(error: &Error) -> Outcome {
    if let ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) = error.kind() {
        return Outcome::Trapped(TrapKind::TableOutOfBounds);
    }
    Outcome::Trapped(match error.kind().as_trap_code() {
        Some(TrapCode::StackOverflow) => TrapKind::StackOverflow,
        Some(TrapCode::MemoryOutOfBounds) => TrapKind::MemoryOutOfBounds,
        Some(TrapCode::TableOutOfBounds) => TrapKind::TableOutOfBounds,
        Some(TrapCode::IndirectCallToNull) => TrapKind::IndirectCallToNull,
        Some(TrapCode::BadSignature) => TrapKind::BadSignature,
        Some(TrapCode::IntegerOverflow) => TrapKind::IntegerOverflow,
        Some(TrapCode::IntegerDivisionByZero) => TrapKind::IntegerDivisionByZero,
        Some(TrapCode::BadConversionToInteger) => TrapKind::BadConversionToInteger,
        Some(TrapCode::UnreachableCodeReached) => TrapKind::Unreachable,
        _ => return Outcome::Failed(format!("wasmi: {error}")),
    })
}

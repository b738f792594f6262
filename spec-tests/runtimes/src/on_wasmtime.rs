//! wasmtime.

use crate::guest::{Answer, Guest, Host, HowToWrite, place};
use crate::live::live;
use crate::value::{Content, Outcome, State, TrapKind, Type, Value};
use wasmtime::{
    Error, Extern, ExternType, FuncType, Global, HeapType, Memory, Ref, Store, Table, Tag, Trap, Val, ValType,
};

live!(wasmtime);

fn import(store: &mut Store<()>, host: &dyn Host, module: &str, name: &str, ty: ExternType) -> Result<Extern, Error> {
    Ok(match ty {
        ExternType::Func(ty) => host_function(store, host.function(module, name), ty).into(),
        ExternType::Global(ty) => {
            let value = to_val(&mut *store, host.global(module, name, type_of(ty.content())));
            Global::new(store, ty, value)?.into()
        }
        ExternType::Memory(ty) => Memory::new(store, ty)?.into(),
        ExternType::Table(ty) => {
            let null = Ref::null(ty.element().heap_type());
            Table::new(store, ty, null)?.into()
        }
        ExternType::Tag(ty) => Tag::new(store, &ty)?.into(),
    })
}

fn results_of(ty: &FuncType) -> Vec<Type> {
    ty.results().map(|ty| type_of(&ty)).collect()
}

fn type_of(ty: &ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::Ref(ty) if matches!(ty.heap_type(), HeapType::Func) => Type::Func,
        ValType::Ref(ty) if matches!(ty.heap_type(), HeapType::Exn | HeapType::NoExn) => Type::Exn,
        ValType::Ref(_) => Type::Extern,
    }
}

fn to_val(mut store: impl wasmtime::AsContextMut, value: Value) -> Val {
    match value {
        Value::I32(bits) => Val::I32(bits as i32),
        Value::I64(bits) => Val::I64(bits as i64),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
        Value::V128(bits) => Val::V128(bits.into()),
        Value::Func { .. } => Val::FuncRef(None),
        Value::Exn { .. } => Val::ExnRef(None),
        Value::Extern(number) => Val::ExternRef(number.map(|number| new_reference(&mut store, number))),
    }
}

fn to_value(store: impl wasmtime::AsContextMut, value: &Val) -> Value {
    match *value {
        Val::I32(value) => Value::I32(value as u32),
        Val::I64(value) => Value::I64(value as u64),
        Val::F32(bits) => Value::F32(bits),
        Val::F64(bits) => Value::F64(bits),
        Val::V128(bits) => Value::V128(bits.into()),
        Val::FuncRef(func) => Value::Func { null: func.is_none() },
        Val::ExnRef(exception) => Value::Exn { null: exception.is_none() },
        Val::ExternRef(value) => Value::Extern(value.map(|value| number_in(&store, &value))),
        ref other => panic!("{other:?} is of no type that is generated"),
    }
}

#[cfg(feature = "complete")]
fn new_reference(store: impl wasmtime::AsContextMut, number: u32) -> wasmtime::Rooted<wasmtime::ExternRef> {
    wasmtime::ExternRef::new(store, number).expect("room for a reference")
}

#[cfg(feature = "complete")]
fn number_in(store: &impl wasmtime::AsContext, value: &wasmtime::Rooted<wasmtime::ExternRef>) -> u32 {
    let data = value.data(store.as_context()).expect("a reference of this store").expect("a host's value");
    *data.downcast_ref().expect("a number")
}

#[cfg(not(feature = "complete"))]
fn new_reference(_: impl wasmtime::AsContextMut, _: u32) -> wasmtime::Rooted<wasmtime::ExternRef> {
    panic!("there are no references to values of the host without the feature `complete`")
}

#[cfg(not(feature = "complete"))]
fn number_in(_: &impl wasmtime::AsContext, _: &wasmtime::Rooted<wasmtime::ExternRef>) -> u32 {
    unreachable!("there are no references to values of the host without the feature `complete`")
}

/// Returns what was thrown, if that is how a call ended.
#[cfg(feature = "complete")]
fn thrown(store: &mut Store<()>, error: &Error) -> Option<Vec<Value>> {
    error.downcast_ref::<wasmtime::ThrownException>()?;
    let exception = store.take_pending_exception().expect("a pending exception");
    let fields: Vec<Val> = exception.fields(&mut *store).expect("an exception of this store").collect();
    Some(fields.iter().map(|value| to_value(&mut *store, value)).collect())
}

/// Without garbage collection, wasmtime has no exceptions.
#[cfg(not(feature = "complete"))]
fn thrown(_: &mut Store<()>, _: &Error) -> Option<Vec<Value>> {
    None
}

fn outcome(error: &Error) -> Outcome {
    Outcome::Trapped(match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => TrapKind::StackOverflow,
        Some(Trap::MemoryOutOfBounds) => TrapKind::MemoryOutOfBounds,
        Some(Trap::TableOutOfBounds) => TrapKind::TableOutOfBounds,
        Some(Trap::IndirectCallToNull) => TrapKind::IndirectCallToNull,
        Some(Trap::BadSignature) => TrapKind::BadSignature,
        Some(Trap::IntegerOverflow) => TrapKind::IntegerOverflow,
        Some(Trap::IntegerDivisionByZero) => TrapKind::IntegerDivisionByZero,
        Some(Trap::BadConversionToInteger) => TrapKind::BadConversionToInteger,
        Some(Trap::UnreachableCodeReached) => TrapKind::Unreachable,
        Some(Trap::NullReference) => TrapKind::NullReference,
        _ => return Outcome::Failed(format!("wasmtime: {error:#}")),
    })
}

//! minirt.

use crate::guest::{Answer, Guest, Host, HowToWrite, place};
use crate::live::live;
use crate::value::{Content, Outcome, State, TrapKind, Type, Value};
use minirt::{
    Error, Extern, ExternRef, ExternType, FuncType, Global, Memory, Ref, RefKind, Result, Store, Table, Tag,
    ThrownException, Trap, Val, ValType,
};

live!(minirt);

fn import(store: &mut Store<()>, host: &dyn Host, module: &str, name: &str, ty: ExternType) -> Result<Extern> {
    Ok(match ty {
        ExternType::Func(ty) => host_function(store, host.function(module, name), ty).into(),
        ExternType::Global(ty) => {
            let value = to_val(&mut *store, host.global(module, name, type_of(&ty.content)));
            Global::new(store, ty, value)?.into()
        }
        ExternType::Memory(ty) => Memory::new(store, ty)?.into(),
        ExternType::Table(ty) => Table::new(store, ty, Ref::null(ty.element.heap))?.into(),
        ExternType::Tag(ty) => Tag::new(store, &ty)?.into(),
    })
}

fn results_of(ty: &FuncType) -> Vec<Type> {
    ty.results().iter().map(type_of).collect()
}

/// Returns the type by which values of a type are compared.
pub fn type_of(ty: &ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ty if *ty == ValType::FUNCREF => Type::Func,
        ValType::Ref(ty) if ty.heap.kind() == RefKind::Exn => Type::Exn,
        _ => Type::Extern,
    }
}

fn to_val(mut store: impl minirt::AsContextMut, value: Value) -> Val {
    match value {
        Value::I32(bits) => Val::I32(bits as i32),
        Value::I64(bits) => Val::I64(bits as i64),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
        Value::V128(bits) => Val::V128(bits),
        Value::Func { .. } => Val::FuncRef(None),
        Value::Exn { .. } => Val::ExnRef(None),
        Value::Extern(number) => {
            let new = |number| ExternRef::new(&mut store, number).expect("room for a reference");
            Val::ExternRef(number.map(new))
        }
    }
}

fn to_value(store: impl minirt::AsContextMut, value: &Val) -> Value {
    match *value {
        Val::I32(value) => Value::I32(value as u32),
        Val::I64(value) => Value::I64(value as u64),
        Val::F32(bits) => Value::F32(bits),
        Val::F64(bits) => Value::F64(bits),
        Val::V128(bits) => Value::V128(bits),
        Val::FuncRef(func) => Value::Func { null: func.is_none() },
        Val::ExnRef(exception) => Value::Exn { null: exception.is_none() },
        Val::ExternRef(value) => Value::Extern(value.map(|value| {
            let data = value.data(store.as_context()).expect("a reference of this store").expect("a host's value");
            *data.downcast_ref::<u32>().expect("a number")
        })),
        Val::AnyRef(_) => unreachable!("garbage collection is off, so no module has such references"),
    }
}

/// Returns what was thrown, if that is how a call ended.
fn thrown(store: &mut Store<()>, error: &Error) -> Option<Vec<Value>> {
    error.downcast_ref::<ThrownException>()?;
    let exception = store.take_pending_exception().expect("a pending exception");
    let fields: Vec<Val> = exception.fields(&mut *store).expect("an exception of this store").collect();
    Some(fields.iter().map(|value| to_value(&mut *store, value)).collect())
}

fn outcome(error: &Error) -> Outcome {
    Outcome::Trapped(match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => TrapKind::StackOverflow,
        Some(Trap::MemoryOutOfBounds) => TrapKind::MemoryOutOfBounds,
        Some(Trap::TableOutOfBounds | Trap::UndefinedElement) => TrapKind::TableOutOfBounds,
        Some(Trap::IndirectCallToNull) => TrapKind::IndirectCallToNull,
        Some(Trap::BadSignature) => TrapKind::BadSignature,
        Some(Trap::IntegerOverflow) => TrapKind::IntegerOverflow,
        Some(Trap::IntegerDivisionByZero) => TrapKind::IntegerDivisionByZero,
        Some(Trap::BadConversionToInteger) => TrapKind::BadConversionToInteger,
        Some(Trap::UnreachableCodeReached) => TrapKind::Unreachable,
        Some(Trap::NullReference | Trap::NullExceptionReference) => TrapKind::NullReference,
        _ => return Outcome::Failed(format!("minirt: {error:#}")),
    })
}

//! minirt.

use crate::guest::{Answer, Guest, Host, HowToWrite, place};
use crate::live::{live, objects};
use crate::value::{BUDGET, Content, Contents, Kind, Object, Outcome, State, TrapKind, Type, Value};
use minirt::{
    AnyRef, AsContextMut, Error, Extern, ExternRef, ExternType, FuncType, Global, HeapType, I31, Memory, Ref, RefKind,
    Result, RootScope, Store, StoreContextMut, Table, Tag, ThrownException, Trap, Val, ValType,
};

live!(minirt);
objects!(minirt);

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
        ValType::Ref(ty) => Type::Ref {
            kind: match ty.heap.kind() {
                RefKind::Func => Kind::Func,
                RefKind::Extern => Kind::Extern,
                RefKind::Exn => Kind::Exn,
                RefKind::Any => Kind::Any,
            },
            nullable: ty.nullable,
            open: matches!(ty.heap, HeapType::Extern | HeapType::Any | HeapType::Eq | HeapType::I31),
        },
    }
}

fn to_val(mut store: impl AsContextMut, value: Value) -> Val {
    match value {
        Value::I32(bits) => Val::I32(bits as i32),
        Value::I64(bits) => Val::I64(bits as i64),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
        Value::V128(bits) => Val::V128(bits),
        Value::Func { .. } => Val::FuncRef(None),
        Value::Exn { .. } => Val::ExnRef(None),
        Value::Extern(Some(Object::Host(number))) => {
            Val::ExternRef(Some(ExternRef::new(&mut store, number).expect("room for a reference")))
        }
        Value::Any(Some(Object::I31(number))) => {
            Val::AnyRef(Some(AnyRef::from_i31(&mut store, I31::wrapping_u32(number))))
        }
        Value::Extern(None) => Val::ExternRef(None),
        Value::Any(None) => Val::AnyRef(None),
        Value::Extern(_) | Value::Any(_) => unreachable!("no host makes such a value"),
    }
}

fn to_value(mut store: impl AsContextMut<Data: 'static>, value: &Val) -> Value {
    value_of(&mut store.as_context_mut(), value, &mut { BUDGET })
}

fn value_of<T: 'static>(store: &mut StoreContextMut<'_, T>, value: &Val, budget: &mut u32) -> Value {
    match *value {
        Val::I32(value) => Value::I32(value as u32),
        Val::I64(value) => Value::I64(value as u64),
        Val::F32(bits) => Value::F32(bits),
        Val::F64(bits) => Value::F64(bits),
        Val::V128(bits) => Value::V128(bits),
        Val::FuncRef(func) => Value::Func { null: func.is_none() },
        Val::ExnRef(exception) => Value::Exn { null: exception.is_none() },
        Val::ExternRef(value) => Value::Extern(value.map(|value| external(store, value, budget))),
        Val::AnyRef(value) => Value::Any(value.map(|value| internal(store, value, budget))),
    }
}

/// What is made through it is forgotten with it.
fn scope(store: &mut Store<()>) -> RootScope<&mut Store<()>> {
    RootScope::new(store)
}

fn collect(store: &mut Store<()>) {
    store.gc();
}

fn refusal() -> Error {
    Trap::UnreachableCodeReached.into()
}

/// Returns what was thrown, if that is how a call ended.
fn thrown(store: &mut Store<()>, error: &Error) -> Option<Vec<Value>> {
    error.downcast_ref::<ThrownException>()?;
    let mut store = scope(store);
    let exception = store.as_context_mut().take_pending_exception().expect("a pending exception");
    let fields: Vec<Val> = exception.fields(&mut store).expect("an exception of this store").collect();
    Some(fields.iter().map(|value| to_value(&mut store, value)).collect())
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
        Some(Trap::NullReference | Trap::NullExceptionReference | Trap::NullI31Ref | Trap::NullFunctionReference) => {
            TrapKind::NullReference
        }
        Some(Trap::ArrayOutOfBounds) => TrapKind::ArrayOutOfBounds,
        Some(Trap::CastFailure) => TrapKind::CastFailure,
        Some(Trap::GcHeapOutOfMemory | Trap::ExceptionsExhausted) => TrapKind::HeapExhausted,
        _ => return Outcome::Failed(format!("minirt: {error:#}")),
    })
}

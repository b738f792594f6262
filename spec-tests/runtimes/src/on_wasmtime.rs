//! wasmtime.

use crate::guest::{Answer, Guest, Host, HowToWrite, place};
use crate::live::live;
use crate::value::{Content, Kind, Outcome, State, TrapKind, Type, Value};
use collected::{collect, is_out_of_memory, new_reference, reference, scope, thrown};
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
        ValType::Ref(ty) => {
            let kind = match ty.heap_type().top() {
                HeapType::Func => Kind::Func,
                HeapType::Extern => Kind::Extern,
                HeapType::Exn => Kind::Exn,
                _ => Kind::Any,
            };
            let open = matches!(ty.heap_type(), HeapType::Extern | HeapType::Any | HeapType::Eq | HeapType::I31);
            Type::Ref { kind, nullable: ty.is_nullable(), open }
        }
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
        Value::Extern(None) => Val::ExternRef(None),
        Value::Any(None) => Val::AnyRef(None),
        Value::Extern(_) | Value::Any(_) => new_reference(&mut store, value),
    }
}

fn to_value(store: impl wasmtime::AsContextMut<Data: 'static>, value: &Val) -> Value {
    match *value {
        Val::I32(value) => Value::I32(value as u32),
        Val::I64(value) => Value::I64(value as u64),
        Val::F32(bits) => Value::F32(bits),
        Val::F64(bits) => Value::F64(bits),
        Val::V128(bits) => Value::V128(bits.into()),
        Val::FuncRef(func) => Value::Func { null: func.is_none() },
        Val::ExnRef(exception) => Value::Exn { null: exception.is_none() },
        Val::ExternRef(None) => Value::Extern(None),
        Val::AnyRef(None) => Value::Any(None),
        ref other => reference(store, other),
    }
}

fn refusal() -> Error {
    Trap::UnreachableCodeReached.into()
}

/// References that are not null, and exceptions, which take wasmtime's garbage collection.
#[cfg(feature = "complete")]
mod collected {
    use super::*;
    use crate::live::objects;
    use crate::value::{BUDGET, Contents, Object};
    use wasmtime::{AnyRef, AsContextMut, ExternRef, I31, RootScope, StoreContextMut};

    objects!(wasmtime);

    pub(super) fn new_reference(mut store: impl AsContextMut, value: Value) -> Val {
        match value {
            Value::Extern(Some(Object::Host(number))) => {
                Val::ExternRef(Some(ExternRef::new(&mut store, number).expect("room for a reference")))
            }
            Value::Any(Some(Object::I31(number))) => {
                Val::AnyRef(Some(AnyRef::from_i31(&mut store, I31::wrapping_u32(number))))
            }
            _ => unreachable!("no host makes such a value"),
        }
    }

    pub(super) fn reference(mut store: impl AsContextMut<Data: 'static>, value: &Val) -> Value {
        value_of(&mut store.as_context_mut(), value, &mut { BUDGET })
    }

    fn value_of<T: 'static>(store: &mut StoreContextMut<'_, T>, value: &Val, budget: &mut u32) -> Value {
        match *value {
            Val::ExternRef(Some(value)) => Value::Extern(Some(external(store, value, budget))),
            Val::AnyRef(Some(value)) => Value::Any(Some(internal(store, value, budget))),
            ref other => to_value(store, other),
        }
    }

    /// What is made through it is forgotten with it.
    pub(super) fn scope(store: &mut Store<()>) -> RootScope<&mut Store<()>> {
        RootScope::new(store)
    }

    pub(super) fn collect(store: &mut Store<()>) {
        store.gc(None).expect("a collection");
    }

    /// Returns what was thrown, if that is how a call ended.
    pub(super) fn thrown(store: &mut Store<()>, error: &Error) -> Option<Vec<Value>> {
        error.downcast_ref::<wasmtime::ThrownException>()?;
        let mut store = scope(store);
        let exception = store.as_context_mut().take_pending_exception().expect("a pending exception");
        let fields: Vec<Val> = exception.fields(&mut store).expect("an exception of this store").collect();
        Some(fields.iter().map(|value| to_value(&mut store, value)).collect())
    }

    pub(super) fn is_out_of_memory(error: &Error) -> bool {
        error.downcast_ref::<wasmtime::GcHeapOutOfMemory<()>>().is_some()
    }
}

/// What stands for it without that.
#[cfg(not(feature = "complete"))]
mod collected {
    use super::*;

    pub(super) fn new_reference(_: impl wasmtime::AsContextMut, _: Value) -> Val {
        panic!("there are no references to what is collected without the feature `complete`")
    }

    pub(super) fn reference(_: impl wasmtime::AsContextMut, value: &Val) -> Value {
        unreachable!("there is no {value:?} without the feature `complete`")
    }

    pub(super) fn scope(store: &mut Store<()>) -> &mut Store<()> {
        store
    }

    pub(super) fn collect(_: &mut Store<()>) {}

    pub(super) fn thrown(_: &mut Store<()>, _: &Error) -> Option<Vec<Value>> {
        None
    }

    pub(super) fn is_out_of_memory(_: &Error) -> bool {
        false
    }
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
        Some(Trap::ArrayOutOfBounds) => TrapKind::ArrayOutOfBounds,
        Some(Trap::CastFailure) => TrapKind::CastFailure,
        Some(Trap::AllocationTooLarge) => TrapKind::HeapExhausted,
        None if is_out_of_memory(error) => TrapKind::HeapExhausted,
        _ => return Outcome::Failed(format!("wasmtime: {error:#}")),
    })
}

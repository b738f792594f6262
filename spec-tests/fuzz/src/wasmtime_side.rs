//! wasmtime, as it comes.

use crate::live::live;
use crate::shape::{Shape, answer, initial, number};
use crate::value::{Outcome, TrapKind, Type, Value};
use anyhow::Result;
use wasmtime::{Config, Engine, Extern, ExternRef, ExternType, FuncType, HeapType, Instance, Module, Ref};
use wasmtime::{Error, Func, Global, Memory, Store, Table, Trap, Val, ValType};

live!(wasmtime);

pub(crate) fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config.wasm_memory64(true).wasm_multi_memory(true).wasm_tail_call(true).wasm_extended_const(true);
    config.wasm_custom_page_sizes(true).wasm_wide_arithmetic(true).max_wasm_stack(crate::WASM_STACK);
    Ok(Engine::new(&config)?)
}

/// A fresh instance, or how that ended.
pub(crate) fn start(module: &Module, shape: &Shape) -> Result<Live, Outcome> {
    let mut store = Store::new(module.engine(), ());
    let imports = module.imports().map(|it| import(&mut store, number(it.module(), it.name()), it.ty()));
    let imports: Vec<_> = imports.collect::<Result<_, _>>().map_err(|error| outcome(&error))?;
    let instance = Instance::new(&mut store, module, &imports).map_err(|error| outcome(&error))?;
    Ok(Live::new(store, instance, shape))
}

fn import(store: &mut Store<()>, number: u64, ty: ExternType) -> Result<Extern, Error> {
    Ok(match ty {
        ExternType::Func(ty) => host_function(store, number, ty).into(),
        ExternType::Global(ty) => {
            let value = to_val(&mut *store, initial(number, type_of(ty.content())));
            Global::new(store, ty, value)?.into()
        }
        ExternType::Memory(ty) => Memory::new(store, ty)?.into(),
        ExternType::Table(ty) => {
            let null = Ref::null(ty.element().heap_type());
            Table::new(store, ty, null)?.into()
        }
        other => return Err(Error::msg(format!("an import of the type {other:?}"))),
    })
}

fn host_function(store: &mut Store<()>, number: u64, ty: FuncType) -> Func {
    let types: Vec<Type> = ty.results().map(|ty| type_of(&ty)).collect();
    Func::new(store, ty, move |mut caller, arguments, results| {
        let arguments: Vec<_> = arguments.iter().map(|value| to_value(&mut caller, *value)).collect();
        for (result, value) in results.iter_mut().zip(answer(number, &arguments, &types)) {
            *result = to_val(&mut caller, value);
        }
        Ok(())
    })
}

fn type_of(ty: &ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::Ref(ty) if matches!(ty.heap_type(), HeapType::Func) => Type::Func,
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
        Value::Extern(number) => {
            let made = number.map(|number| ExternRef::new(&mut store, number).expect("room for a reference"));
            Val::ExternRef(made)
        }
    }
}

fn to_value(store: impl wasmtime::AsContextMut, value: Val) -> Value {
    match value {
        Val::I32(value) => Value::I32(value as u32),
        Val::I64(value) => Value::I64(value as u64),
        Val::F32(bits) => Value::F32(bits),
        Val::F64(bits) => Value::F64(bits),
        Val::V128(bits) => Value::V128(bits.into()),
        Val::FuncRef(func) => Value::Func { null: func.is_none() },
        Val::ExternRef(value) => Value::Extern(value.map(|value| {
            let data = value.data(store.as_context()).expect("a reference of this store").expect("a host's value");
            *data.downcast_ref::<u32>().expect("a number")
        })),
        other => panic!("{other:?} is of no type that is generated"),
    }
}

fn reference(store: &mut Store<()>, element: Ref) -> Value {
    to_value(store, element.into())
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

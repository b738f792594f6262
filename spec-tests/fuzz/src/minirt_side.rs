//! minirt in all its configurations.

use crate::live::live;
use crate::shape::{Function, Shape, answer, initial, number};
use crate::value::{Outcome, TrapKind, Type, Value};
use anyhow::{Error, Result};
use minirt::{Config, Engine, Extern, ExternRef, ExternType, Instance, Module, OptLevel, Ref, ResetStrategy};
use minirt::{Func, FuncType, Global, Memory, Store, Table, Trap, Val, ValType};

live!(minirt);

/// An engine and how it was configured. All modules of a configuration share one, so that their slots do.
pub(crate) struct Configured {
    pub(crate) engine: Engine,
    pub(crate) about: String,
}

/// Every combination of what changes how instances are made, and of how code is.
pub(crate) fn configurations() -> Result<Vec<Configured>> {
    let mut all = Vec::new();
    for strategy in [ResetStrategy::Adaptive, ResetStrategy::HotSet, ResetStrategy::Scan, ResetStrategy::Discard] {
        for images in [true, false] {
            for (level, metered) in [(OptLevel::Speed, false), (OptLevel::None, false), (OptLevel::Speed, true)] {
                let mut config = Config::new();
                config.reset_strategy(strategy).memory_init_cow(images).cranelift_opt_level(level);
                config.max_wasm_stack(crate::WASM_STACK).parallel_compilation(false).check_artifacts(true);
                config.consume_fuel(metered).epoch_interruption(metered);
                let [images, metered] = [images, metered].map(|it| if it { "with" } else { "without" });
                let about = format!("{strategy:?}, {images} images, {level:?}, {metered} fuel and epochs");
                all.push(Configured { engine: Engine::new(&config)?, about });
            }
        }
    }
    Ok(all)
}

pub(crate) fn shape(module: &Module) -> Shape {
    let constant = |ty: &ExternType| match ty {
        ExternType::Func(_) => true,
        ExternType::Global(ty) => !ty.mutable,
        _ => false,
    };
    let mut shape = Shape {
        owns_its_state: module.imports().all(|import| constant(&import.ty())),
        imports_functions: module.imports().any(|import| matches!(import.ty(), ExternType::Func(_))),
        ..Shape::default()
    };
    for export in module.exports() {
        let name = export.name().to_owned();
        shape.exports.push(name.clone());
        match export.ty() {
            ExternType::Func(ty) => {
                let params = ty.params().iter().map(type_of).collect();
                shape.functions.push(Function { name, params, results: ty.results().len() });
            }
            ExternType::Memory(_) => shape.memories.push(name),
            _ => {}
        }
    }
    shape
}

/// A fresh instance, or how that ended.
pub(crate) fn start(module: &Module, shape: &Shape) -> Result<Live, Outcome> {
    let mut store = Store::new(module.engine(), ());
    let _ = store.set_fuel(u64::MAX); // An error where there is no fuel.
    store.set_epoch_deadline(u64::MAX);
    let imports = imports(&mut store, module).map_err(|error| Outcome::Failed(format!("imports: {error:#}")))?;
    let instance = Instance::new(&mut store, module, &imports).map_err(|error| outcome(&error))?;
    Ok(Live::new(store, instance, shape))
}

fn imports(store: &mut Store<()>, module: &Module) -> Result<Vec<Extern>> {
    let types: Vec<_> = module.imports().map(|it| (number(it.module(), it.name()), it.ty())).collect();
    types.into_iter().map(|(number, ty)| import(store, number, ty)).collect()
}

fn import(store: &mut Store<()>, number: u64, ty: ExternType) -> Result<Extern> {
    Ok(match ty {
        ExternType::Func(ty) => host_function(store, number, ty).into(),
        ExternType::Global(ty) => {
            let value = to_val(&mut *store, initial(number, type_of(&ty.content)));
            Global::new(store, ty, value)?.into()
        }
        ExternType::Memory(ty) => Memory::new(store, ty)?.into(),
        ExternType::Table(ty) => Table::new(store, ty, Ref::null(ty.element.heap))?.into(),
    })
}

fn host_function(store: &mut Store<()>, number: u64, ty: FuncType) -> Func {
    let types: Vec<Type> = ty.results().iter().map(type_of).collect();
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
        ty if *ty == ValType::FUNCREF => Type::Func,
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
        Value::Extern(number) => Val::ExternRef(number.map(|number| ExternRef::new(&mut store, number))),
    }
}

fn to_value(store: impl minirt::AsContextMut, value: Val) -> Value {
    match value {
        Val::I32(value) => Value::I32(value as u32),
        Val::I64(value) => Value::I64(value as u64),
        Val::F32(bits) => Value::F32(bits),
        Val::F64(bits) => Value::F64(bits),
        Val::V128(bits) => Value::V128(bits),
        Val::FuncRef(func) => Value::Func { null: func.is_none() },
        Val::ExternRef(value) => Value::Extern(value.map(|value| {
            let data = value.data(store.as_context()).expect("a reference of this store");
            *data.downcast_ref::<u32>().expect("a number")
        })),
    }
}

fn reference(store: &mut Store<()>, element: Ref) -> Value {
    to_value(store, element.into())
}

pub(crate) fn outcome(error: &Error) -> Outcome {
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
        Some(Trap::NullReference) => TrapKind::NullReference,
        _ => return Outcome::Failed(format!("minirt: {error:#}")),
    })
}

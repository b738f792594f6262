//! Programs that know the layer alone, on minirt.

use anyhow::Result;
use wasm_runtime_layer::backend::WasmEngine;
use wasm_runtime_layer::{
    AsContext, Engine, Extern, ExternRef, ExternType, Func, FuncType, Global, Imports, Instance, Memory, MemoryType,
    Module, Ref, RefType, Store, Table, TableType, Val, ValType,
};

fn engine() -> Engine<impl WasmEngine> {
    Engine::new(minirt_runtime_layer::Engine::default())
}

fn module<E: WasmEngine>(engine: &Engine<E>, text: &str) -> Result<Module> {
    Module::new(engine, &wat::parse_str(text)?)
}

fn call<E: WasmEngine, T>(
    store: &mut Store<T, E>,
    instance: &Instance,
    name: &str,
    arguments: &[Val],
    results: usize,
) -> Result<Vec<Val>> {
    let func = instance.get_export(&*store, name).and_then(|it| it.into_func()).expect("exported");
    let mut values = vec![Val::I32(0); results];
    func.call(store, arguments, &mut values)?;
    Ok(values)
}

#[test]
fn every_kind_of_value_goes_in_and_comes_back() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let text = r#"(module (func (export "turn") (param i32 i64 f32 f64 v128) (result v128 f64 f32 i64 i32)
        (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0)))"#;
    let instance = Instance::new(&mut store, &module(&engine, text).unwrap(), &Imports::default()).unwrap();
    let values = [Val::I32(-1), Val::I64(i64::MIN), Val::F32(1.5), Val::F64(-0.25), Val::V128(1 << 100)];
    let mut turned = values.clone();
    turned.reverse();
    assert_eq!(call(&mut store, &instance, "turn", &values, 5).unwrap(), turned);
    assert!(call(&mut store, &instance, "turn", &values[..4], 5).is_err());
    assert!(call(&mut store, &instance, "turn", &turned, 5).is_err());
}

#[test]
fn functions_of_the_host_have_several_results_and_the_stores_data() {
    let engine = engine();
    let mut store = Store::new(&engine, 10_i32);
    let ty = FuncType::new([ValType::I32], [ValType::I32, ValType::I64]);
    let divide = Func::new(&mut store, ty, |mut context, arguments, results| {
        let Val::I32(by) = arguments[0] else { panic!("it is an i32") };
        anyhow::ensure!(by != 0, "nothing can be divided by zero");
        *context.data_mut() += 1;
        results[0] = Val::I32(100 / by);
        results[1] = Val::I64(i64::from(100 % by));
        Ok(())
    });
    assert_eq!(divide.ty(&store).results(), [ValType::I32, ValType::I64]);
    let mut imports = Imports::new();
    imports.define("host", "divide", Extern::Func(divide));
    let text = r#"(module (import "host" "divide" (func $divide (param i32) (result i32 i64)))
        (func (export "run") (param i32) (result i32 i64) (call $divide (local.get 0))))"#;
    let module = module(&engine, text).unwrap();
    let instance = Instance::new(&mut store, &module, &imports).unwrap();
    assert_eq!(call(&mut store, &instance, "run", &[Val::I32(7)], 2).unwrap(), [Val::I32(14), Val::I64(2)]);
    let error = call(&mut store, &instance, "run", &[Val::I32(0)], 2).unwrap_err();
    assert!(format!("{error:#}").contains("divided by zero"), "{error:#}");
    assert_eq!((*store.data(), store.into_data()), (11, 11));
}

#[test]
fn a_module_says_what_it_imports_and_exports() {
    let engine = engine();
    let text = r#"(module (import "a" "f" (func (param i64))) (import "a" "g" (global (mut f32)))
        (memory (export "m") 1 3) (table (export "t") 2 externref) (export "f" (func 0)))"#;
    let module = module(&engine, text).unwrap();
    let imports: Vec<_> = module.imports(&engine).map(|import| format!("{}.{}", import.module, import.name)).collect();
    assert_eq!(imports, ["a.f", "a.g"]);
    let types: Vec<ExternType> = module.exports(&engine).map(|export| export.ty).collect();
    assert_eq!(types[0].memory().map(|ty| (ty.initial_pages(), ty.maximum_pages())), Some((1, Some(3))));
    assert_eq!(types[1].table().map(|ty| (ty.element(), ty.minimum())), Some((RefType::ExternRef, 2)));
    assert_eq!(module.get_export(&engine, "f").unwrap().func().unwrap().params(), [ValType::I64]);
    assert!(module.get_export(&engine, "nothing").is_none());
    let error = Instance::new(&mut Store::new(&engine, ()), &module, &Imports::default()).unwrap_err();
    assert_eq!(error.to_string(), "unknown import: `a::f` has not been defined");
}

#[test]
fn memories_tables_and_globals_are_shared_with_instances() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let memory = Memory::new(&mut store, MemoryType::new(1, Some(2))).unwrap();
    let table = Table::new(&mut store, TableType::new(RefType::FuncRef, 2, None), Ref::FuncRef(None)).unwrap();
    let global = Global::new(&mut store, Val::I64(5), true);
    let mut imports = Imports::new();
    imports.define("", "memory", Extern::Memory(memory.clone()));
    imports.define("", "table", Extern::Table(table.clone()));
    imports.define("", "global", Extern::Global(global.clone()));
    let text = r#"(module (import "" "memory" (memory 1)) (import "" "table" (table 1 funcref))
        (import "" "global" (global $g (mut i64)))
        (func $nine (export "nine") (result i32) (i32.const 9)) (elem (i32.const 1) func $nine)
        (func (export "run") (param i32) (result i32)
          (i32.store8 (i32.const 3) (i32.const 77)) (global.set $g (i64.const -1))
          (call_indirect (result i32) (local.get 0))))"#;
    let instance = Instance::new(&mut store, &module(&engine, text).unwrap(), &imports).unwrap();
    assert_eq!(call(&mut store, &instance, "run", &[Val::I32(1)], 1).unwrap(), [Val::I32(9)]);
    assert!(call(&mut store, &instance, "run", &[Val::I32(0)], 1).is_err());
    let mut buffer = [0; 2];
    memory.read(&store, 3, &mut buffer).unwrap();
    assert_eq!((buffer, global.get(&mut store)), ([77, 0], Val::I64(-1)));

    memory.write(&mut store, 0xffff, &[1]).unwrap();
    assert!(
        memory.write(&mut store, 0xffff, &[1, 2]).is_err() && memory.read(&store, usize::MAX, &mut buffer).is_err()
    );
    assert_eq!((memory.grow(&mut store, 1).unwrap(), memory.current_pages(&store)), (1, 2));
    assert!(memory.grow(&mut store, 1).is_err());
    assert!(global.set(&mut store, Val::I32(1)).is_err());
    global.set(&mut store, Val::I64(6)).unwrap();
    assert_eq!(global.ty(&store).content(), ValType::I64);

    let nine = table.get(&mut store, 1).expect("inside");
    table.set(&mut store, 0, nine.clone()).unwrap();
    assert_eq!(call(&mut store, &instance, "run", &[Val::I32(0)], 1).unwrap(), [Val::I32(9)]);
    assert_eq!((table.grow(&mut store, 3, nine).unwrap(), table.size(&store)), (2, 5));
    assert!(table.get(&mut store, 5).is_none() && table.set(&mut store, 5, Ref::FuncRef(None)).is_err());
    assert!(Memory::new(&mut store, MemoryType::new(2, Some(1))).is_err());
}

#[test]
fn values_of_the_host_go_through_a_guest() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let text = r#"(module (func (export "same") (param externref) (result externref) (local.get 0)))"#;
    let instance = Instance::new(&mut store, &module(&engine, text).unwrap(), &Imports::default()).unwrap();
    let value = ExternRef::new(&mut store, String::from("of the host"));
    let results = call(&mut store, &instance, "same", &[Val::ExternRef(Some(value))], 1).unwrap();
    let [Val::ExternRef(Some(value))] = &results[..] else { panic!("{results:?}") };
    assert_eq!(value.downcast::<String, _, _>(store.as_context()).unwrap(), "of the host");
    assert!(value.downcast::<u32, _, _>(store.as_context()).is_err());
}

/// The layer knows no scopes: a value lasts as long as somebody has it.
#[test]
fn a_host_function_keeps_a_value_beyond_its_end() {
    let engine = engine();
    let mut store = Store::new(&engine, None);
    let ty = FuncType::new([ValType::ExternRef], []);
    let keep = Func::new(&mut store, ty, |mut context, arguments, _| {
        let Val::ExternRef(value) = &arguments[0] else { panic!("it is a value of the host") };
        *context.data_mut() = value.clone();
        Ok(())
    });
    let value = ExternRef::new(&mut store, 5_u32);
    keep.call(&mut store, &[Val::ExternRef(Some(value))], &mut []).unwrap();
    let kept = store.data().clone().expect("it was kept");
    assert_eq!(kept.downcast::<u32, _, _>(store.as_context()).unwrap(), &5);
}

#[test]
fn a_configured_engine_and_its_errors_are_minirts() {
    let configured = minirt::Engine::new(minirt::Config::new().wasm_simd(false)).unwrap();
    let engine = Engine::new(minirt_runtime_layer::Engine::from(configured));
    let error = module(&engine, "(module (func (param v128)))").unwrap_err();
    assert!(error.is::<minirt::CompileError>(), "{error}");
    let mut store = Store::new(&engine, ());
    let trap = module(&engine, r#"(module (func (export "f") unreachable))"#).unwrap();
    let instance = Instance::new(&mut store, &trap, &Imports::default()).unwrap();
    let error = call(&mut store, &instance, "f", &[], 0).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&minirt::Trap::UnreachableCodeReached));
}

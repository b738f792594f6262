//! Whole modules in a linker, second names, and handles in the wrong store.

mod common;

use minirt::{
    Engine, Extern, ExternRef, Func, Global, GlobalType, Instance, Linker, Memory, MemoryType, Module, Ref, RefType,
    Result, Store, Table, TableType, Val, ValType,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

const COUNTER: &str = r#"
  (global $n (mut i32) (i32.const 0))
  (func (export "next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))"#;

const USER: &str = r#"(module
  (import "counter" "next" (func $next (result i32)))
  (func (export "twice") (result i32) (drop (call $next)) (call $next)))"#;

/// What the user of a counter gets at its second call.
fn twice(more: &str) -> Result<i32> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.module(&mut store, "counter", &Module::new(&engine, format!("(module {COUNTER} {more})"))?)?;
    let user = linker.instantiate(&mut store, &Module::new(&engine, USER)?)?;
    user.get_typed_func::<(), i32>(&store, "twice")?.call(&mut store, ())
}

#[test]
fn a_reactor_is_initialised_once_and_keeps_what_it_knows() {
    assert_eq!(twice("").unwrap(), 2);
    assert_eq!(twice(r#"(func (export "_initialize") (global.set $n (i32.const 40)))"#).unwrap(), 42);
    let error = twice(r#"(func (export "_initialize") unreachable)"#).unwrap_err();
    assert!(format!("{error:#}").contains("could not initialise `counter`"), "{error:#}");
}

#[test]
fn a_command_starts_afresh_at_each_call() {
    assert_eq!(twice(r#"(func (export "_start"))"#).unwrap(), 1);
}

#[test]
fn commands_that_go_with_their_linker_leave_no_slot_behind() {
    let engine = Engine::default();
    let command = Module::new(&engine, format!(r#"(module {COUNTER} (func (export "_start")))"#)).unwrap();
    let user = Module::new(&engine, USER).unwrap();
    for _ in 0..3 {
        let mut linker = Linker::new(&engine);
        linker.module(Store::new(&engine, ()), "counter", &command).unwrap();
        let pre = linker.instantiate_pre(&user).unwrap();
        let mut store = Store::new(&engine, ());
        let it = pre.instantiate(&mut store).unwrap();
        assert_eq!(common::call_i32(&mut store, it, "twice", &[]).unwrap(), 1);
        assert_eq!(engine.stats().live, 3, "the user, and an instance for each call");
        drop(store);
        assert_eq!(engine.stats().live, 0);
    }
}

#[test]
fn what_is_missing_can_be_left_to_fail_when_it_is_called() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let user = Module::new(&engine, USER).unwrap();
    linker.define_unknown_imports_as_traps(&user).unwrap();
    let it = linker.instantiate(&mut store, &user).unwrap();
    let error = common::call_i32(&mut store, it, "twice", &[]).unwrap_err();
    assert!(format!("{error:#}").contains("`counter::next` was called, but is not defined"), "{error:#}");

    let memory = Module::new(&engine, r#"(module (import "a" "m" (memory 1)))"#).unwrap();
    let error = linker.define_unknown_imports_as_traps(&memory).unwrap_err();
    assert!(error.to_string().contains("`a::m`"), "{error}");
}

#[test]
fn a_definition_can_have_several_names() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("a", "f", || 7).unwrap().alias("a", "f", "b", "g").unwrap();
    linker.alias_module("b", "counter").unwrap();
    linker.alias("counter", "g", "counter", "next").unwrap();
    let names: Vec<_> = linker.iter(&mut store).map(|(module, name, _)| format!("{module}::{name}")).collect();
    assert_eq!(names, ["a::f", "b::g", "counter::g", "counter::next"]);
    let user = Module::new(&engine, USER).unwrap();
    assert!(linker.get_by_import(&mut store, &user.imports().next().unwrap()).is_some());
    let it = linker.instantiate(&mut store, &user).unwrap();
    assert_eq!(common::call_i32(&mut store, it, "twice", &[]).unwrap(), 7);

    assert!(linker.alias("a", "f", "b", "g").is_err_and(|e| e.to_string().contains("defined already")));
    assert!(linker.alias("a", "x", "b", "x").is_err_and(|e| e.to_string().contains("`a::x`")));
    assert!(linker.alias_module("x", "y").is_err_and(|e| e.to_string().contains("`x`")));
}

#[test]
fn a_range_of_a_table_is_filled_or_nothing_is() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let ty = TableType { element: RefType::FUNCREF, minimum: 4, maximum: None, table64: false };
    let table = Table::new(&mut store, ty, Ref::null(RefType::FUNCREF)).unwrap();
    let func = Func::wrap(&mut store, || ());
    assert!(table.fill(&mut store, 2, func.into(), 3).unwrap_err().to_string().contains("3 elements from index 2"));
    let there = |store: &Store<()>| [0, 1, 2, 3].map(|i| !table.get(store, i).unwrap().is_null());
    assert_eq!(there(&store), [false; 4]);
    table.fill(&mut store, 1, func.into(), 2).unwrap();
    assert_eq!(there(&store), [false, true, true, false]);
}

#[test]
fn functions_that_are_not_null_have_a_type_of_their_own() {
    let engine = Engine::default();
    let text = r#"(module
      (import "host" "pick" (func $pick (param (ref func)) (result (ref func))))
      (elem declare func $f)
      (func $f (export "f") (result i32) (i32.const 5))
      (func (export "same") (param (ref func)) (result (ref func)) (call $pick (local.get 0)))
      (func (export "nullable") (param funcref)))"#;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "pick", |func: Func| func).unwrap();
    let it = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    let f = it.get_func(&store, "f").unwrap();
    let same = it.get_typed_func::<Func, Func>(&store, "same").unwrap().call(&mut store, f).unwrap();
    assert_eq!(same.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 5);
    assert!(it.get_typed_func::<Func, ()>(&store, "nullable").is_err());
    assert!(it.get_typed_func::<Option<Func>, Option<Func>>(&store, "same").is_err());
    let mut results = [Val::null_func()];
    let null = it.get_func(&store, "same").unwrap().call(&mut store, &[Val::null_func()], &mut results);
    assert!(null.is_err(), "null is no such function");
}

#[test]
fn values_are_asked_for_their_number_by_type() {
    assert_eq!((Val::I32(-1).i32(), Val::I32(-1).i64(), Val::from(1.5f64).f64()), (Some(-1), None, Some(1.5)));
    assert!(catch_unwind(|| Val::I32(1).unwrap_f32()).is_err());
}

#[test]
fn each_kind_of_handle_knows_its_store() {
    let engine = Engine::default();
    let mut one = Store::new(&engine, ());
    let (mut other, instance) = common::instance(&engine, r#"(module (func (export "f")))"#);
    let ty = MemoryType { minimum: 1, ..MemoryType::default() };
    let memory = Memory::new(&mut other, ty).unwrap();
    let ty = TableType { element: RefType::FUNCREF, minimum: 1, maximum: None, table64: false };
    let table = Table::new(&mut other, ty, Ref::null(RefType::FUNCREF)).unwrap();
    let global = Global::new(&mut other, GlobalType { content: ValType::I32, mutable: true }, Val::I32(1)).unwrap();
    let func = instance.get_func(&other, "f").unwrap();
    let typed = func.typed::<(), ()>(&other).unwrap();
    let value = ExternRef::new(&mut other, 1);
    let snapshot_of = |store: &mut Store<()>| instance.snapshot(store).map(drop);
    let import = Module::new(&engine, r#"(module (import "" "" (func)))"#).unwrap();

    type Use<'a> = (&'a str, &'a mut dyn FnMut(&mut Store<()>));
    let uses: [Use<'_>; 14] = [
        ("instance", &mut |store| drop(instance.exports(&*store))),
        ("reset", &mut |store| instance.reset(store).unwrap()),
        ("snapshot", &mut |store| snapshot_of(store).unwrap()),
        ("memory", &mut |store| _ = memory.data_mut(store)),
        ("write", &mut |store| memory.write(store, 0, b"x").unwrap()),
        ("grow", &mut |store| _ = memory.grow(store, 1).unwrap()),
        ("table", &mut |store| _ = table.get(&*store, 0)),
        ("fill", &mut |store| table.fill(store, 0, Ref::null(RefType::FUNCREF), 1).unwrap()),
        ("global", &mut |store| global.set(store, Val::I32(2)).unwrap()),
        ("func", &mut |store| func.call(store, &[], &mut []).unwrap()),
        ("typed", &mut |store| typed.call(store, ()).unwrap()),
        ("extern", &mut |store| _ = value.data(&*store).unwrap()),
        ("type", &mut |store| _ = Extern::Table(table).ty(&*store)),
        ("import", &mut |store| _ = Instance::new(store, &import, &[func.into()]).unwrap()),
    ];
    for (name, used) in uses {
        let refused = catch_unwind(AssertUnwindSafe(|| used(&mut one))).is_err();
        assert!(refused, "{name} of one store was used with another");
        catch_unwind(AssertUnwindSafe(|| used(&mut other))).unwrap_or_else(|_| panic!("{name} works in its own store"));
    }
}

//! Linkers: whole modules in one, second names, and what is done about names that nobody defines.

use crate::common;
use minirt::{
    Caller, Engine, Global, GlobalType, Linker, Memory, MemoryType, Module, Mutability, Result, Store, Val, ValType,
};

const COUNTER: &str = r#"
  (global $n (mut i32) (i32.const 0))
  (func (export "next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))"#;

const USER: &str = r#"(module
  (import "counter" "next" (func $next (result i32)))
  (func (export "twice") (result i32) (drop (call $next)) (call $next)))"#;

/// Returns what the second call of a counter's user returns.
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
    assert!(
        format!("{error:#}").contains("`counter::next` has not been defined; a function that stands in"),
        "{error:#}"
    );

    // What is not a function stays undefined, and the function after it does not.
    let both = Module::new(&engine, r#"(module (import "a" "m" (memory 1)) (import "a" "f" (func)))"#).unwrap();
    linker.define_unknown_imports_as_traps(&both).unwrap();
    assert!(linker.get(&mut store, "a", "m").is_none() && linker.get(&mut store, "a", "f").is_some());
    let error = linker.instantiate(&mut store, &both).unwrap_err();
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

/// A module that asks for one of everything, and offers it again.
const ASKING: &str = r#"(module
  (import "h" "f" (func $f (param i32) (result i64 f32 funcref))) (import "h" "m" (memory 2 5))
  (import "h" "g" (global $g (mut f64))) (import "h" "t" (table 3 externref))
  (export "f" (func $f)) (export "m" (memory 0)) (export "g" (global $g)) (export "t" (table 0)))"#;

#[test]
fn imports_that_nobody_defines_can_be_zeros_and_nulls() {
    let engine = Engine::default();
    let module = Module::new(&engine, ASKING).unwrap();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let given = Global::new(&mut store, GlobalType::new(ValType::F64, Mutability::Var), Val::from(2.5)).unwrap();
    linker.define(&store, "h", "g", given).unwrap();
    linker.define_unknown_imports_as_default_values(&mut store, &module).unwrap();
    let it = linker.instantiate(&mut store, &module).unwrap();
    let results = common::call(&mut store, it, "f", &[Val::I32(1)]).unwrap();
    assert_eq!((results[0].i64(), results[1].f32()), (Some(0), Some(0.0)));
    assert!(results[2].unwrap_funcref().is_none());
    assert_eq!(it.get_memory(&store, "m").unwrap().size(&store), 2);
    assert!((0..3).all(|at| it.get_table(&store, "t").unwrap().get(&store, at).unwrap().unwrap_extern().is_none()));
    let defined = it.get_global(&store, "g").unwrap().get(&mut store);
    assert_eq!(defined.f64(), Some(2.5), "what is defined stays");
}

#[test]
fn there_is_no_default_value_for_references_that_are_never_null() {
    let engine = Engine::default();
    for import in ["(func (result (ref func)))", "(global (ref extern))", "(table 1 (ref func))"] {
        let module = Module::new(&engine, format!(r#"(module (import "h" "it" {import}))"#)).unwrap();
        let mut linker = Linker::new(&engine);
        let mut store = Store::new(&engine, ());
        let error = linker.define_unknown_imports_as_default_values(&mut store, &module).unwrap_err().to_string();
        assert!(error.contains("`h::it`") && error.contains("cannot be a default value"), "{error}");
    }
}

#[test]
fn what_a_module_name_runs_is_its_function_without_a_name_or_its_start() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 0);
    let mut linker: Linker<i32> = Linker::new(&engine);
    let run = |linker: &Linker<i32>, store: &mut Store<i32>, module: &str| -> Result<i32> {
        *store.data_mut() = 0;
        let func = linker.get_default(&mut *store, module)?;
        func.typed::<(), ()>(&*store)?.call(&mut *store, ())?;
        Ok(*store.data())
    };
    linker.func_wrap("m", "_start", |mut caller: Caller<'_, i32>| *caller.data_mut() = 1).unwrap();
    assert_eq!(run(&linker, &mut store, "m").unwrap(), 1);
    linker.func_wrap("m", "", |mut caller: Caller<'_, i32>| *caller.data_mut() = 2).unwrap();
    assert_eq!(run(&linker, &mut store, "m").unwrap(), 2);
    assert_eq!(run(&linker, &mut store, "another").unwrap(), 0);
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    linker.define(&store, "wrong", "", memory).unwrap();
    let error = run(&linker, &mut store, "wrong").unwrap_err().to_string();
    assert!(error.contains("`wrong::` cannot be run"), "{error}");
}
